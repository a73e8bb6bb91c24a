package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.telemetry.ActiveSandboxes;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** The sandboxes that callers may see: found, listed, paused, resumed and ended on request. */
public final class Sandboxes {
  private static final Set<SandboxState> OWNED =
      Set.copyOf(EnumSet.of(SandboxState.PENDING, SandboxState.RUNNING, SandboxState.PAUSED));

  private static final Duration UNSETTLED_DELAY = Duration.ofSeconds(2);

  private final String nodeId;
  private final SandboxRepository repository;
  private final LiveSandboxes live;
  private final LeaseKeeper leaseKeeper;
  private final SandboxEnder ender;

  Sandboxes(
      String nodeId,
      SandboxRepository repository,
      LiveSandboxes live,
      LeaseKeeper leaseKeeper,
      SandboxEnder ender) {
    this.nodeId = nodeId;
    this.repository = repository;
    this.live = live;
    this.leaseKeeper = leaseKeeper;
    this.ender = ender;
  }

  /** Returns the sandbox when there is one that the caller may see. */
  public Optional<Sandbox> find(Principal principal, SandboxId sandboxId) {
    return repository.find(sandboxId).filter(sandbox -> sandbox.visibleTo(principal));
  }

  /**
   * Returns the sandbox.
   *
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND} when there is none that the
   *     caller may see
   */
  public Sandbox require(Principal principal, SandboxId sandboxId) {
    return find(principal, sandboxId)
        .orElseThrow(() ->
            SandkeeperException.of(
                    ErrorReason.SANDBOX_NOT_FOUND,
                    "There is no such sandbox that the key can reach.")
                .with("sandboxId", sandboxId));
  }

  /** Returns the sandbox, whoever may see it. */
  public Optional<Sandbox> find(SandboxId sandboxId) {
    return repository.find(sandboxId);
  }

  /** Returns the sandbox when this server runs it, whoever may see it. */
  public Optional<LiveSandbox> live(SandboxId sandboxId) {
    return live.find(sandboxId).filter(sandbox -> !sandbox.ending());
  }

  /**
   * Returns the sandbox when it runs and the caller may see it; without a look at the database.
   *
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND}, {@link
   *     ErrorReason#SANDBOX_NOT_RUNNING} or {@link ErrorReason#SANDBOX_PAUSED}
   */
  public LiveSandbox requireRunning(Principal principal, SandboxId sandboxId) {
    LiveSandbox sandbox = requireLive(principal, sandboxId);
    if (sandbox.paused()) {
      throw paused(sandboxId);
    }
    return sandbox;
  }

  private LiveSandbox requireLive(Principal principal, SandboxId sandboxId) {
    return live(sandboxId)
        .filter(found -> found.sandbox().visibleTo(principal))
        .orElseThrow(() -> notRunning(require(principal, sandboxId)));
  }

  /** Returns how many sandboxes live, for the metrics. */
  public List<ActiveSandboxes> active() {
    Map<ActiveSandboxes, Long> counts =
        live.all().stream().collect(Collectors.groupingBy(Sandboxes::kind, Collectors.counting()));
    return counts.entrySet().stream()
        .map(entry ->
            new ActiveSandboxes(
                entry.getKey().tenant(),
                entry.getKey().tier(),
                entry.getKey().engine(),
                entry.getKey().state(),
                entry.getValue()))
        .toList();
  }

  private static ActiveSandboxes kind(LiveSandbox sandbox) {
    return new ActiveSandboxes(
        sandbox.sandbox().tenantId().value(),
        sandbox.sandbox().tier(),
        sandbox.sandbox().engine(),
        state(sandbox).name(),
        0);
  }

  private static SandboxState state(LiveSandbox sandbox) {
    if (sandbox.ending()) {
      return SandboxState.STOPPING;
    }
    return sandbox.paused() ? SandboxState.PAUSED : SandboxState.RUNNING;
  }

  /** Says whether another server made the sandbox, and alone knows what is run in it. */
  public boolean isElsewhere(Sandbox sandbox) {
    return !sandbox.nodeId().equals(nodeId);
  }

  /** Makes the refusal to do what only the server can that made the sandbox. */
  public SandkeeperException elsewhere(Sandbox sandbox) {
    return SandkeeperException.of(
            ErrorReason.SANDBOX_ELSEWHERE, "Another server runs the sandbox; call that one.")
        .with("sandboxId", sandbox.sandboxId())
        .with("nodeId", sandbox.nodeId());
  }

  /** Makes the refusal to use a sandbox that does not run here. */
  public SandkeeperException notRunning(Sandbox sandbox) {
    if (isElsewhere(sandbox) && OWNED.contains(sandbox.state())) {
      return elsewhere(sandbox);
    }
    if (sandbox.state() == SandboxState.PAUSED) {
      return paused(sandbox.sandboxId());
    }
    return SandkeeperException.of(
            ErrorReason.SANDBOX_NOT_RUNNING,
            "The sandbox does not run, or its paid time is over; create another.")
        .with("sandboxId", sandbox.sandboxId())
        .with("state", sandbox.state())
        .with("paidUntil", sandbox.paidUntil());
  }

  /** Makes the refusal to use a sandbox that is paused. */
  public SandkeeperException paused(SandboxId sandboxId) {
    return SandkeeperException.of(
            ErrorReason.SANDBOX_PAUSED, "The sandbox is paused; resume it first.")
        .with("sandboxId", sandboxId);
  }

  /** Returns what says that a live sandbox could not be used after all. */
  public SandkeeperException unusable(Sandbox sandbox, EngineException cause) {
    SandkeeperException refusal =
        cause.kind() == EngineException.Kind.PAUSED
            ? paused(sandbox.sandboxId())
            : notRunning(sandbox);
    return refusal.causedBy(cause);
  }

  /** Returns a page of the sandboxes that the caller may see, newest first. */
  public Page<Sandbox> list(
      Principal principal,
      Set<SandboxState> states,
      Optional<String> conversationId,
      Page.Request page) {
    return repository.list(
        new SandboxRepository.Query(
            principal.tenantId(), principal.agentId(), states, conversationId),
        page);
  }

  /**
   * Pauses a sandbox and returns it PAUSED; returns one that is paused as it is.
   *
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND}; {@link
   *     ErrorReason#SANDBOX_NOT_RUNNING}; {@link ErrorReason#ENGINE_UNAVAILABLE} when it cannot be
   *     held still; {@link ErrorReason#DATABASE_UNAVAILABLE} when it stands still but the books do
   *     not have it yet
   */
  public Sandbox pause(Principal principal, SandboxId sandboxId) {
    LiveSandbox sandbox = requireLive(principal, sandboxId);
    leaseKeeper.pause(sandbox, principal);
    return unlessEnded(principal, sandbox);
  }

  /**
   * Resumes a sandbox and returns it RUNNING; returns one that runs as it is.
   *
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND}; {@link
   *     ErrorReason#SANDBOX_NOT_RUNNING}; {@link ErrorReason#QUOTA_EXCEEDED} when a limit refuses,
   *     and it stays paused; {@link ErrorReason#ENGINE_UNAVAILABLE} when the engine does not let it
   *     go on
   */
  public Sandbox resume(Principal principal, SandboxId sandboxId) {
    LiveSandbox sandbox = requireLive(principal, sandboxId);
    leaseKeeper.resume(sandbox, principal);
    return unlessEnded(principal, sandbox);
  }

  private Sandbox unlessEnded(Principal principal, LiveSandbox live) {
    Sandbox sandbox = require(principal, live.id());
    if (live.ending()) {
      throw notRunning(sandbox);
    }
    return sandbox;
  }

  /**
   * Ends a sandbox and returns it settled; returns one that has ended as it is.
   *
   * @param grace how long its processes may take after SIGTERM; zero for none, as has a paused one
   * @throws SandkeeperException {@link ErrorReason#SANDBOX_NOT_FOUND}; {@link
   *     ErrorReason#SANDBOX_NOT_RUNNING} while it is being started; {@link
   *     ErrorReason#DATABASE_UNAVAILABLE} when it is ended but not settled yet, which the server
   *     does later by itself
   */
  public Sandbox terminate(Principal principal, SandboxId sandboxId, Duration grace) {
    Optional<LiveSandbox> found =
        live.find(sandboxId).filter(sandbox -> sandbox.sandbox().visibleTo(principal));
    if (found.isPresent()) {
      return ender.end(found.get(), EndReason.TERMINATED, grace, Optional.of(principal));
    }
    Sandbox sandbox = require(principal, sandboxId);
    if (sandbox.state() == SandboxState.STOPPING && !isElsewhere(sandbox)) {
      throw SandkeeperException.of(
              ErrorReason.DATABASE_UNAVAILABLE,
              "The sandbox is ended, but its books could not be closed yet; the server goes on with"
                  + " it.")
          .with("sandboxId", sandboxId)
          .retryAfter(UNSETTLED_DELAY);
    }
    if (!SandboxState.FINAL.contains(sandbox.state())) {
      throw notRunning(sandbox);
    }
    return sandbox;
  }
}
