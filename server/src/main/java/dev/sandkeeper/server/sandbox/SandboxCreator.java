package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.egress.EgressGateway;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.Admission;
import dev.sandkeeper.server.ledger.AdmissionRequest;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.EngineCapacity;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.Refusal;
import dev.sandkeeper.server.policy.CommandPolicies;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import dev.sandkeeper.server.telemetry.Spans;
import dev.sandkeeper.server.telemetry.Telemetry;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Creates sandboxes: resolves the template, has the ledger admit the first lease, and only then
 * lets the engine start anything.
 */
public final class SandboxCreator {
  private static final Logger logger = LoggerFactory.getLogger(SandboxCreator.class);

  private final Transactions transactions;
  private final SandboxRepository repository;
  private final TemplateRepository templates;
  private final Ledger ledger;
  private final SandboxAudit audit;
  private final EngineRouting routing;
  private final SandboxStarter starter;
  private final EgressGateway gateway;
  private final BillingClock clock;
  private final IdGenerator ids;
  private final SandboxSettings settings;
  private final Registration registration;
  private final LiveSandboxes live;
  private final LeaseKeeper leaseKeeper;
  private final SandboxEnder ender;
  private final Instruments instruments;
  private final Failovers failovers;
  private final Spans spans;

  /** Makes the creator of sandboxes. */
  SandboxCreator(
      Transactions transactions,
      SandboxRepository repository,
      TemplateRepository templates,
      Ledger ledger,
      SandboxAudit audit,
      EngineRouting routing,
      SandboxStarter starter,
      Failovers failovers,
      EgressGateway gateway,
      BillingClock clock,
      IdGenerator ids,
      SandboxSettings settings,
      Registration registration,
      LiveSandboxes live,
      LeaseKeeper leaseKeeper,
      SandboxEnder ender,
      Telemetry telemetry) {
    this.transactions = transactions;
    this.repository = repository;
    this.templates = templates;
    this.ledger = ledger;
    this.audit = audit;
    this.routing = routing;
    this.starter = starter;
    this.gateway = gateway;
    this.clock = clock;
    this.ids = ids;
    this.settings = settings;
    this.registration = registration;
    this.live = live;
    this.leaseKeeper = leaseKeeper;
    this.ender = ender;
    this.instruments = telemetry.instruments();
    this.failovers = failovers;
    this.spans = telemetry.spans();
  }

  /**
   * Creates a sandbox and returns it RUNNING; of a repeated request it returns the sandbox that
   * there is.
   *
   * @throws SandkeeperException when the request is wrong, a budget has not enough left, the tier
   *     has no price, or no engine that may run it can; nothing is held or left then
   */
  public Sandbox create(Principal principal, CreateSandbox request) {
    Allocation allocation =
        Allocation.of(
            templates,
            request.template(),
            request.cpuCores(),
            request.memoryMib(),
            request.timeout());
    registration.requireHeard();
    SandboxId sandboxId = ids.sandboxId();
    EngineAttempts attempts =
        new EngineAttempts(sandboxId, routing.choices(allocation.template()), failovers);
    long start = System.nanoTime();
    boolean success = false;
    try {
      Sandbox sandbox = create(principal, request, allocation, sandboxId, attempts);
      success = true;
      return sandbox;
    } finally {
      instruments.sandboxCreated(
          allocation.template().tier(),
          attempts.current().engine(),
          false,
          success,
          Duration.ofNanos(System.nanoTime() - start));
    }
  }

  private Sandbox create(
      Principal principal,
      CreateSandbox request,
      Allocation allocation,
      SandboxId sandboxId,
      EngineAttempts attempts) {
    return live.whileStarting(
        sandboxId,
        () ->
            admitAndStart(
                principal,
                request,
                pending(principal, request, allocation, sandboxId, attempts.current()),
                allocation.template(),
                attempts));
  }

  private Sandbox admitAndStart(
      Principal principal,
      CreateSandbox request,
      Sandbox asked,
      Template template,
      EngineAttempts attempts) {
    Sandbox pending = asked;
    Admission admission = admitMeasured(principal, request, pending, attempts);
    while (admission instanceof Admission.Full && attempts.hasNext()) {
      attempts.next(EngineAttempts.Reason.FULL);
      pending = pending.runBy(attempts.current());
      admission = admitMeasured(principal, request, pending, attempts);
    }
    return switch (admission) {
      case Admission.Granted granted ->
          start(
              principal,
              pending.withPaidUntil(granted.paidUntil()),
              request.environment(),
              template,
              attempts);
      case Admission.Denied denied -> {
        Refusal refusal = denied.refusal();
        instruments.quotaExceeded(
            pending.tenantId().value(), refusal.resource().name(), refusal.period().name());
        throw refusal.asException();
      }
      case Admission.Full full -> throw full.engine().asException();
      case Admission.NoPrice noPrice -> throw noPrice.asException();
      case Admission.Replayed replayed -> repeated(principal, request, replayed.sandboxId());
      case Admission.OtherKind _ -> throw request.requestKey().reused();
      case Admission.Gone _ -> throw request.requestKey().expired();
    };
  }

  private Admission admitMeasured(
      Principal principal, CreateSandbox request, Sandbox pending, EngineAttempts attempts) {
    return spans.call(
        "ledger.admit",
        Map.of(),
        () ->
            instruments.timedLedgerCall(
                "admit", () -> admitAllowed(principal, request, pending, attempts)));
  }

  /** Admits nothing for what the policies deny; a repeated request may have been allowed. */
  private Admission admitAllowed(
      Principal principal, CreateSandbox request, Sandbox pending, EngineAttempts attempts) {
    try {
      return admit(principal, request, pending, attempts);
    } catch (SandkeeperException e) {
      if (e.reason() == ErrorReason.COMMAND_DENIED) {
        transactions.run(transaction -> audit.denied(transaction, principal, pending, e));
      }
      throw e;
    }
  }

  private Admission admit(
      Principal principal, CreateSandbox request, Sandbox pending, EngineAttempts attempts) {
    return transactions.call(transaction -> {
      Admission verdict =
          ledger.admit(
              transaction,
              new AdmissionRequest(
                  pending.tenantId(),
                  request.requestKey().requestId(),
                  pending.sandboxId(),
                  pending.attribution(),
                  pending.tier(),
                  new EngineCapacity(pending.engine(), attempts.current().capacity()),
                  pending.cpuCores(),
                  pending.memoryMib(),
                  pending.timeout()),
              pending.createTime());
      switch (verdict) {
        case Admission.Granted granted -> {
          request.run().ifPresent(pending::requireAllowed);
          repository.insert(
              transaction, pending.withPaidUntil(granted.paidUntil()), request.requestKey());
        }
        case Admission.Denied _ ->
            audit.notCreated(
                transaction, principal, pending, attempts.asked(), ErrorReason.QUOTA_EXCEEDED);
        case Admission.NoPrice _ ->
            audit.notCreated(
                transaction, principal, pending, attempts.asked(), ErrorReason.NO_PRICE_FOR_TIER);
        case Admission.Full _ -> {
          if (!attempts.hasNext()) {
            audit.notCreated(
                transaction, principal, pending, attempts.asked(), ErrorReason.ENGINE_FULL);
          }
        }
        case Admission.Replayed _, Admission.OtherKind _, Admission.Gone _ -> {}
      }
      return verdict;
    });
  }

  private Sandbox start(
      Principal principal,
      Sandbox pending,
      Map<String, String> environment,
      Template template,
      EngineAttempts attempts) {
    SandboxStarter.Started started =
        starter.start(principal, pending, environment, template.imports(), attempts);
    EngineSandbox engineSandbox = started.engineSandbox();
    Instant startTime = clock.now();
    Sandbox running = started.pending().startedAt(startTime);
    try {
      SandboxNetwork.open(gateway, running, engineSandbox);
      transactions.run(transaction -> {
        if (!repository.start(transaction, running, startTime, engineSandbox.remoteId())) {
          throw SandkeeperException.of(
                  ErrorReason.CONCURRENT_CHANGE, "The sandbox was given up while it started.")
              .with("sandboxId", running.sandboxId());
        }
        audit.created(transaction, principal, running, attempts.asked());
      });
    } catch (RuntimeException e) {
      takeBack(running, engineSandbox);
      throw e;
    }
    LiveSandbox sandbox = new LiveSandbox(running, engineSandbox, clock);
    live.add(sandbox);
    leaseKeeper.keep(sandbox);
    return running;
  }

  /**
   * Ends a sandbox that runs and that its caller will not get. Whether the books have it as running
   * is not known, as the commit's answer may have been lost; the settlement finds out.
   */
  private void takeBack(Sandbox sandbox, EngineSandbox engineSandbox) {
    try {
      UsageReading usage = engineSandbox.destroy(Duration.ZERO);
      ender.settle(
          sandbox, Optional.of(usage), clock.now(), EndReason.ENGINE_FAILED, Optional.empty());
    } catch (RuntimeException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.sandboxId())
          .setCause(e)
          .log("The sandbox could not be taken back yet; the sweeper goes on with it");
    }
  }

  private Sandbox repeated(Principal principal, CreateSandbox request, SandboxId sandboxId) {
    SandboxRepository.Requested requested =
        repository
            .findRequested(sandboxId)
            .orElseThrow(() -> new IllegalStateException("no row of sandbox " + sandboxId));
    if (!requested.sandbox().visibleTo(principal)) {
      throw request.requestKey().reused();
    }
    request.requestKey().requireSame(requested.contentHash());
    live.awaitStart(sandboxId);
    Sandbox sandbox =
        repository
            .find(sandboxId)
            .orElseThrow(() -> new IllegalStateException("no row of sandbox " + sandboxId));
    if (sandbox.state() == SandboxState.FAILED && sandbox.startTime().isEmpty()) {
      throw SandboxStarter.notStarted(sandbox);
    }
    if (sandbox.state() == SandboxState.PENDING) {
      throw SandkeeperException.of(
              ErrorReason.CONCURRENT_CHANGE,
              "Another server is starting the sandbox; repeat the call.")
          .with("sandboxId", sandboxId)
          .with("nodeId", sandbox.nodeId())
          .retryAfter(Duration.ofSeconds(1));
    }
    return sandbox;
  }

  private Sandbox pending(
      Principal principal,
      CreateSandbox request,
      Allocation allocation,
      SandboxId sandboxId,
      EngineChoice choice) {
    // In whole milliseconds, as the ledger bills: a lease may then end exactly at the expiry.
    Instant now = clock.now().truncatedTo(ChronoUnit.MILLIS);
    Template template = allocation.template();
    return new Sandbox(
        sandboxId,
        principal.tenantId(),
        template.name(),
        template.tier(),
        choice.engine(),
        choice.runtime(),
        settings.nodeId(),
        1,
        SandboxState.PENDING,
        allocation.cpuCores(),
        allocation.memoryMib(),
        // Files may count against the memory, and a full disk should be told as such first.
        Math.min(template.diskMib(), allocation.memoryMib() / 2),
        allocation.timeout(),
        request.idleTimeout(),
        request.onExhaustion(),
        template.network(request.network()),
        request.metadata(),
        principal.attribute(request.attribution()),
        principal.keyId(),
        now,
        Optional.empty(),
        now.plus(allocation.timeout()),
        Optional.empty(),
        Optional.empty(),
        now,
        new CommandPolicies(template.commandPolicy(), request.commandPolicy()));
  }
}
