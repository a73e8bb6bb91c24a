package dev.sandkeeper.server.port;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineConnection;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.SandboxState;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.server.telemetry.Instruments;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ScheduledExecutorService;
import java.util.random.RandomGenerator;

/** Ports of running sandboxes, for those who have a key or a URL that is signed. */
public final class Ports {
  /** The query parameter that carries the token of a URL. */
  public static final String TOKEN_PARAMETER = "sandkeeper-token";

  /** How long a URL is good when nothing is said. */
  private static final Duration DEFAULT_VALIDITY = Duration.ofHours(1);

  private static final Duration RETRY_DELAY = Duration.ofSeconds(1);
  private static final int MAX_NOTED = 10_000;

  /** Once in so long the audit trail tells that a key or URL is used for a port. */
  private static final Duration NOTED_FOR = Duration.ofHours(1);

  private final Transactions transactions;
  private final Sandboxes sandboxes;
  private final ApiKeys apiKeys;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private final PortTokens tokens;
  private final PortSettings settings;
  private final Instruments instruments;
  private final ScheduledExecutorService timer;

  /** How many connections each sandbox has that has any. */
  private final Map<SandboxId, Integer> open = new ConcurrentHashMap<>();

  private final Cache<Use, Boolean> noted =
      Caffeine.newBuilder().maximumSize(MAX_NOTED).expireAfterWrite(NOTED_FOR).build();

  /** Makes the ports. */
  public Ports(
      Transactions transactions,
      PortKeyRepository repository,
      Sandboxes sandboxes,
      ApiKeys apiKeys,
      AuditLog auditLog,
      BillingClock clock,
      IdGenerator ids,
      RandomGenerator random,
      PortSettings settings,
      Instruments instruments,
      ScheduledExecutorService timer) {
    this.transactions = transactions;
    this.sandboxes = sandboxes;
    this.apiKeys = apiKeys;
    this.auditLog = auditLog;
    this.clock = clock;
    this.tokens = new PortTokens(transactions, repository, clock, ids, random);
    this.settings = settings;
    this.instruments = instruments;
    this.timer = timer;
  }

  /**
   * Who reaches a port, and how that was shown.
   *
   * @param principal whose key it is
   * @param urlExpireTime when the URL stops working; empty for a key itself
   */
  public record Visitor(Principal principal, Optional<Instant> urlExpireTime) {}

  private record Use(String keyId, Optional<Instant> urlExpireTime, PortAddress address) {}

  /** Returns how ports are named by hosts; empty when they are reached by path only. */
  public Optional<PortUrl> url() {
    return settings.url();
  }

  /** Returns how many connections are open. */
  public int count() {
    return open.values().stream().mapToInt(Integer::intValue).sum();
  }

  /**
   * Makes a URL of a port.
   *
   * @param validity how long it is good; empty for an hour
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND}, {@link
   *     ErrorReason#SANDBOX_NOT_RUNNING} when it has ended
   */
  public ExposedPort expose(Principal principal, PortAddress address, Optional<Duration> validity) {
    Sandbox sandbox = sandboxes.require(principal, address.sandboxId());
    if (SandboxState.FINAL.contains(sandbox.state())) {
      throw sandboxes.notRunning(sandbox);
    }
    Instant expireTime =
        clock.now().plus(validity.orElse(DEFAULT_VALIDITY)).truncatedTo(ChronoUnit.SECONDS);
    String token = tokens.issue(address, new PortTokens.Grant(principal.keyId(), expireTime));
    append(
        principal,
        sandbox,
        AuditOperation.PORT_EXPOSE,
        "port " + address.port() + " until " + expireTime);
    String query = "/?" + TOKEN_PARAMETER + "=" + token;
    return new ExposedPort(
        settings.url().map(url -> url.origin(address) + query),
        "/v1/sandboxes/" + address.sandboxId() + "/ports/" + address.port() + query,
        expireTime);
  }

  /**
   * Returns who comes by a URL.
   *
   * @param sent what may be its token; the first that is good counts
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS} when none is good for this
   *     port, it has expired, or its key works no more; {@link ErrorReason#RATE_LIMITED} when too
   *     many such calls come from the address; {@link ErrorReason#SCOPE_MISSING}
   */
  public Visitor visitor(List<String> sent, PortAddress address, Principal.Origin origin) {
    Optional<PortTokens.Grant> verified =
        sent.stream().flatMap(token -> tokens.verify(token, address).stream()).findFirst();
    if (verified.isEmpty()) {
      apiKeys.countFailure(origin);
      throw SandkeeperException.of(
          ErrorReason.INVALID_CREDENTIALS,
          "The URL is not good for this port, or has expired; ask for another by ExposePort.");
    }
    PortTokens.Grant grant = verified.get();
    Principal principal = apiKeys.authenticateById(grant.apiKeyId(), origin);
    principal.require(Scope.RUN);
    return new Visitor(principal, Optional.of(grant.expireTime()));
  }

  /**
   * Connects to a port, which is a use of the sandbox until the connection is closed.
   *
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND}, {@link
   *     ErrorReason#SANDBOX_NOT_RUNNING}, {@link ErrorReason#SANDBOX_PAUSED}, {@link
   *     ErrorReason#SANDBOX_ELSEWHERE}; {@link ErrorReason#PORT_NOT_OPEN}; {@link
   *     ErrorReason#TOO_MANY_CONNECTIONS}
   */
  public PortConnection connect(Visitor visitor, PortAddress address) {
    SandboxId sandboxId = address.sandboxId();
    LiveSandbox sandbox = sandboxes.requireRunning(visitor.principal(), sandboxId);
    if (!sandbox.beginUse()) {
      throw sandboxes.notRunning(sandbox.sandbox());
    }
    int count = open.merge(sandboxId, 1, Integer::sum);
    boolean connected = false;
    try {
      if (count > settings.maxConnections()) {
        throw tooMany(sandboxId);
      }
      note(visitor, sandbox.sandbox(), address);
      EngineConnection connection = connect(sandbox, address);
      connected = true;
      instruments.portConnected();
      return new PortConnection(
          connection,
          settings.idleTimeout(),
          timer,
          () -> {
            leave(sandboxId);
            sandbox.endUse();
          });
    } finally {
      if (!connected) {
        leave(sandboxId);
        sandbox.abandonUse();
      }
    }
  }

  private void leave(SandboxId sandboxId) {
    open.computeIfPresent(sandboxId, (_, count) -> count == 1 ? null : count - 1);
  }

  private EngineConnection connect(LiveSandbox sandbox, PortAddress address) {
    try {
      return sandbox.engine().connect(address.port());
    } catch (EngineException e) {
      if (e.kind() != EngineException.Kind.PORT_CLOSED) {
        throw sandboxes.unusable(sandbox.sandbox(), e);
      }
      instruments.portRefused(ErrorReason.PORT_NOT_OPEN.name());
      throw SandkeeperException.of(
              ErrorReason.PORT_NOT_OPEN,
              "Nothing in the sandbox listens on the port, on 127.0.0.1 or ::1.")
          .with("sandboxId", address.sandboxId())
          .with("port", address.port())
          .causedBy(e);
    }
  }

  private SandkeeperException tooMany(SandboxId sandboxId) {
    instruments.portRefused(ErrorReason.TOO_MANY_CONNECTIONS.name());
    return SandkeeperException.of(
            ErrorReason.TOO_MANY_CONNECTIONS,
            "As many connections to ports of the sandbox are open as may be; close some.")
        .with("sandboxId", sandboxId)
        .with("maxConnections", settings.maxConnections())
        .retryAfter(RETRY_DELAY);
  }

  private void note(Visitor visitor, Sandbox sandbox, PortAddress address) {
    Use use = new Use(visitor.principal().keyId(), visitor.urlExpireTime(), address);
    if (noted.getIfPresent(use) == null) {
      append(
          visitor.principal(),
          sandbox,
          AuditOperation.PORT_CONNECT,
          "port "
              + address.port()
              + visitor
                  .urlExpireTime()
                  .map(time -> " by the URL until " + time)
                  .orElse(" by the key"));
      noted.put(use, Boolean.TRUE);
    }
  }

  private void append(
      Principal principal, Sandbox sandbox, AuditOperation operation, String detail) {
    AuditEntry entry = sandbox.audited(clock.now(), operation).by(principal).withDetail(detail);
    transactions.run(transaction -> auditLog.append(transaction, entry));
  }
}
