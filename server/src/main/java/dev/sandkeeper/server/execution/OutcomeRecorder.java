package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.sandbox.Sandbox;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Writes down how an execution ended: its row, its cost and its audit event, in one transaction. */
final class OutcomeRecorder {
  private static final Logger logger = LoggerFactory.getLogger(OutcomeRecorder.class);
  private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(2);

  private final Transactions transactions;
  private final ExecutionRepository repository;
  private final Ledger ledger;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private volatile boolean closed;

  OutcomeRecorder(
      Transactions transactions,
      ExecutionRepository repository,
      Ledger ledger,
      AuditLog auditLog,
      BillingClock clock) {
    this.transactions = transactions;
    this.repository = repository;
    this.ledger = ledger;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  /** Gives up on what the database does not take; the next start finds it as LOST. */
  void close() {
    closed = true;
  }

  /**
   * Records the end and returns it once it is committed; tries again while the database is away.
   *
   * @return the outcome; empty when this server shuts down first, or the end is known already
   */
  Optional<Execution.Outcome> record(LiveExecution live, ExecutionEnd end) {
    Instant endTime = clock.now();
    Optional<Execution.OutputDigest> stdout = Optional.of(live.stdoutDigest());
    Optional<Execution.OutputDigest> stderr = Optional.of(live.stderrDigest());
    long lastSequence = live.journal().lastSequence() + 1; // `finished` is still to come
    Duration pause = FIRST_PAUSE;
    while (!closed) {
      try {
        return transactions.call(
            transaction -> {
              NanoUsd cost =
                  ledger.executionCost(transaction, live.execution().executionId(), endTime);
              Execution.Outcome outcome =
                  new Execution.Outcome(end, endTime, cost, lastSequence, stdout, stderr);
              if (!repository.finish(transaction, live.execution().executionId(), outcome)) {
                return Optional.empty();
              }
              audit(
                  transaction, live.principal(), live.sandbox().sandbox(), live.execution(), outcome);
              return Optional.of(outcome);
            });
      } catch (SandkeeperException e) {
        if (e.reason() != ErrorReason.DATABASE_UNAVAILABLE) {
          throw e;
        }
        logger
            .atWarn()
            .addKeyValue("execution", live.execution().executionId())
            .log("The database is away; the end of the execution is written down later");
        try {
          Thread.sleep(pause);
        } catch (InterruptedException interrupted) {
          Thread.currentThread().interrupt();
          return Optional.empty();
        }
        pause = pause.multipliedBy(2).compareTo(LONGEST_PAUSE) > 0 ? LONGEST_PAUSE : pause.multipliedBy(2);
      }
    }
    return Optional.empty();
  }

  /** Adds the audit event of an execution that is over. */
  void audit(
      Transaction transaction,
      Principal principal,
      Sandbox sandbox,
      Execution execution,
      Execution.Outcome outcome) {
    auditLog.append(transaction, AuditEntry.NONE);
  }
}
