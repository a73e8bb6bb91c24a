package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineRecord;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.ledger.Reconciliation;
import dev.sandkeeper.server.ledger.ReconciliationRepository;
import dev.sandkeeper.server.ledger.ReconciliationRepository.Claimed;
import dev.sandkeeper.server.ledger.ReconciliationRepository.Due;
import dev.sandkeeper.server.telemetry.EngineInstruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Compares what was billed of sandboxes that ended with what their engines have on record, each
 * once. Any number of servers may do it; each sandbox is one's at a time.
 */
public final class Reconciler {
  private static final Logger logger = LoggerFactory.getLogger(Reconciler.class);

  /** Without a record so long after the end there will be none. */
  private static final Duration MAX_AGE = Duration.ofDays(1);

  /** What a server claimed is another's after that, and what had no record is asked for again. */
  private static final Duration CLAIM = Duration.ofMinutes(10);

  private static final int BATCH = 100;

  private final Transactions transactions;
  private final ReconciliationRepository repository;
  private final Engines engines;
  private final BillingClock clock;
  private final EngineInstruments instruments;
  private final Settings settings;

  /**
   * When to compare, and what to make of it.
   *
   * @param delay how long after its end a sandbox is compared at the earliest
   * @param tolerance by how much both may differ
   */
  public record Settings(Duration delay, Duration tolerance) {}

  /** Makes it. */
  public Reconciler(
      Transactions transactions,
      ReconciliationRepository repository,
      Engines engines,
      BillingClock clock,
      EngineInstruments instruments,
      Settings settings) {
    this.transactions = transactions;
    this.repository = repository;
    this.engines = engines;
    this.clock = clock;
    this.instruments = instruments;
    this.settings = settings;
  }

  /** Compares some of what is due; one engine that cannot answer keeps no other from it. */
  public void reconcile() {
    for (Engines.Member member : engines.all()) {
      if (member.engine().keepsRecords()) {
        Sweeper.guarded("records of " + member.name(), () -> reconcile(member.engine()));
      }
    }
  }

  private void reconcile(SandboxEngine engine) {
    Instant now = clock.now();
    Due due = new Due(engine.name(), now.minus(MAX_AGE), now.minus(settings.delay()), BATCH);
    List<Claimed> claimed =
        transactions.call(tx -> repository.claim(tx, due, now, now.plus(CLAIM)));
    for (Claimed sandbox : claimed) {
      Optional<Reconciliation.Reported> reported = ask(engine, sandbox);
      if (reported.isPresent() || !sandbox.endTime().isAfter(now.minus(MAX_AGE))) {
        complete(
            new Reconciliation(
                sandbox.sandboxId(),
                sandbox.tenantId(),
                engine.name(),
                sandbox.remoteId(),
                sandbox.billed(),
                reported,
                settings.tolerance(),
                clock.now()));
      }
    }
  }

  /**
   * Returns what the engine has on record, if it has.
   *
   * @throws EngineException {@code UNAVAILABLE} when it would not say of any other either
   */
  private static Optional<Reconciliation.Reported> ask(SandboxEngine engine, Claimed sandbox) {
    Optional<EngineRecord> found;
    try {
      found = sandbox.remoteId().flatMap(engine::record);
    } catch (EngineException e) {
      if (e.kind() == EngineException.Kind.UNAVAILABLE) {
        throw e;
      }
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.sandboxId())
          .addKeyValue("engine", engine.name())
          .setCause(e)
          .log("An engine's record of a sandbox cannot be read; it is asked again");
      return Optional.empty();
    }
    return found.map(record ->
        new Reconciliation.Reported(
            Duration.ofMillis(record.ran().toMillis()), record.startTime(), record.endTime()));
  }

  private void complete(Reconciliation reconciliation) {
    if (!transactions.single(tx -> repository.complete(tx, reconciliation))) {
      return; // another server was faster, after a claim that was over
    }
    instruments.reconciled(
        reconciliation.engine(), reconciliation.drifted(), reconciliation.drift());
    if (reconciliation.drifted()) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, reconciliation.sandboxId())
          .addKeyValue(LogKeys.TENANT, reconciliation.tenantId())
          .addKeyValue("engine", reconciliation.engine())
          .addKeyValue("billed", reconciliation.billed())
          .addKeyValue(
              "reported",
              reconciliation.reported().map(found -> found.ran().toString()).orElse("nothing"))
          .log("What was billed of a sandbox is not what its engine has on record");
    }
  }
}
