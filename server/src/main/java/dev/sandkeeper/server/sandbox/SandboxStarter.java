package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.EngineCapacity;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import dev.sandkeeper.server.telemetry.Spans;
import dev.sandkeeper.server.telemetry.Telemetry;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Has an engine start a sandbox that was admitted, and the next one when that cannot work now: for
 * the same money, under the same id. The books say which engine is asked before it is asked. What
 * may run in the one before is ended; where that cannot be told, the sweeper finds it, as it is in
 * an engine that the books do not name.
 */
final class SandboxStarter {
  private static final Logger logger = LoggerFactory.getLogger(SandboxStarter.class);

  /** When the caller may ask again, unless the engine says. */
  private static final Duration TRY_AGAIN = Duration.ofSeconds(5);

  private final Transactions transactions;
  private final SandboxRepository repository;
  private final Ledger ledger;
  private final SandboxAudit audit;
  private final Engines engines;
  private final BillingClock clock;
  private final SandboxSettings settings;
  private final Instruments instruments;
  private final Spans spans;

  SandboxStarter(
      Transactions transactions,
      SandboxRepository repository,
      Ledger ledger,
      SandboxAudit audit,
      Engines engines,
      BillingClock clock,
      SandboxSettings settings,
      Telemetry telemetry) {
    this.transactions = transactions;
    this.repository = repository;
    this.ledger = ledger;
    this.audit = audit;
    this.engines = engines;
    this.clock = clock;
    this.settings = settings;
    this.instruments = telemetry.instruments();
    this.spans = telemetry.spans();
  }

  /**
   * What was started.
   *
   * @param pending the sandbox as it is in the books
   * @param engineSandbox the engine's handle
   */
  record Started(Sandbox pending, EngineSandbox engineSandbox) {}

  /**
   * Starts a sandbox.
   *
   * @param admitted as it is in the books, of the engine that is asked first
   * @param attempts the engines that may be asked
   * @throws SandkeeperException {@link ErrorReason#ENGINE_UNAVAILABLE} when none starts it, and the
   *     money is given back
   */
  Started start(
      Principal principal,
      Sandbox admitted,
      Map<String, String> environment,
      List<String> imports,
      EngineAttempts attempts) {
    Sandbox pending = admitted;
    while (true) {
      SandboxSpec spec = spec(pending, environment, imports, attempts.current());
      try {
        return new Started(pending, create(pending, spec));
      } catch (EngineException e) {
        Optional<Sandbox> moved =
            e.kind() == EngineException.Kind.UNAVAILABLE || e.kind() == EngineException.Kind.FULL
                ? move(pending, attempts, e)
                : Optional.empty();
        if (moved.isEmpty()) {
          throw failed(principal, pending, attempts, e);
        }
        pending = moved.get();
      }
    }
  }

  /** Returns the refusal of a sandbox that was not started. */
  static SandkeeperException notStarted(Sandbox sandbox) {
    return SandkeeperException.of(
            ErrorReason.ENGINE_UNAVAILABLE,
            "The engine could not start the sandbox; nothing was billed. Try with a new request"
                + " id.")
        .with("sandboxId", sandbox.sandboxId())
        .with("engine", sandbox.engine());
  }

  private SandboxSpec spec(
      Sandbox pending, Map<String, String> environment, List<String> imports, EngineChoice choice) {
    return new SandboxSpec(
        pending.sandboxId(),
        pending.generation(),
        pending.runtime(),
        choice.engineTemplate(),
        pending.cpuCores(),
        pending.memoryMib(),
        pending.diskMib(),
        settings.maxProcesses(),
        environment,
        imports,
        !pending.network().isNone(),
        Duration.between(clock.now(), pending.paidUntil()).plus(settings.guestSlack()));
  }

  private EngineSandbox create(Sandbox pending, SandboxSpec spec) {
    return spans.call(
        "engine.create",
        Map.of("engine", pending.engine(), "template", pending.template()),
        () ->
            instruments.timedEngineCall(
                pending.engine(),
                "create",
                () -> engines.require(pending.engine()).engine().create(spec)));
  }

  /**
   * Makes a sandbox one of the next engine that has a place.
   *
   * @return empty when there is none, or what is paid for is over
   */
  private Optional<Sandbox> move(
      Sandbox pending, EngineAttempts attempts, EngineException unavailable) {
    if (!attempts.hasNext()) {
      return Optional.empty();
    }
    logger
        .atWarn()
        .addKeyValue(LogKeys.SANDBOX, pending.sandboxId())
        .addKeyValue("engine", pending.engine())
        .setCause(unavailable)
        .log("An engine could not start a sandbox");
    endRemains(pending);
    EngineAttempts.Reason reason = EngineAttempts.Reason.UNAVAILABLE;
    while (attempts.hasNext() && clock.now().isBefore(pending.paidUntil())) {
      attempts.next(reason);
      Sandbox moved = pending.runBy(attempts.current());
      if (hasMoved(pending, moved, attempts.current())) {
        return Optional.of(moved);
      }
      reason = EngineAttempts.Reason.FULL;
    }
    return Optional.empty();
  }

  private boolean hasMoved(Sandbox pending, Sandbox moved, EngineChoice choice) {
    return transactions.call(transaction -> {
      EngineCapacity capacity = new EngineCapacity(choice.engine(), choice.capacity());
      if (ledger.full(transaction, capacity).isPresent()) {
        return false;
      }
      if (!repository.move(transaction, moved, pending.engine())) {
        throw SandkeeperException.of(
                ErrorReason.CONCURRENT_CHANGE, "The sandbox was given up while it started.")
            .with("sandboxId", pending.sandboxId());
      }
      return true;
    });
  }

  /** The answer to a start may have been lost, and not the start. */
  private void endRemains(Sandbox pending) {
    try {
      var _ = engines.require(pending.engine()).engine().destroy(pending.sandboxId());
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, pending.sandboxId())
          .addKeyValue("engine", pending.engine())
          .setCause(e)
          .log("What may run of the sandbox is left to the sweeper");
    }
  }

  private SandkeeperException failed(
      Principal principal, Sandbox pending, EngineAttempts attempts, EngineException cause) {
    // The caller is not told how the engine works inside.
    logger
        .atWarn()
        .addKeyValue(LogKeys.SANDBOX, pending.sandboxId())
        .setCause(cause)
        .log("The engine could not start the sandbox");
    Instant now = clock.now();
    transactions.run(transaction -> {
      ledger.settle(
          transaction,
          pending.sandboxId(),
          pending.generation(),
          Optional.empty(),
          now,
          EndReason.ENGINE_FAILED);
      audit.notCreated(
          transaction, principal, pending, attempts.asked(), ErrorReason.ENGINE_UNAVAILABLE);
    });
    return notStarted(pending).retryAfter(cause.retryAfter().orElse(TRY_AGAIN)).causedBy(cause);
  }
}
