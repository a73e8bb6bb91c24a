package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes down how an execution ended: its row, its cost and its audit event, at once or not at all.
 */
public final class OutcomeRecorder {
  private static final Logger logger = LoggerFactory.getLogger(OutcomeRecorder.class);

  /** Faults of the database that pass: what ended is written down when they have. */
  private static final Set<ErrorReason> PASSING =
      EnumSet.of(
          ErrorReason.DATABASE_UNAVAILABLE,
          ErrorReason.DEADLINE_EXCEEDED,
          ErrorReason.CONCURRENT_CHANGE);

  private static final Duration FIRST_PAUSE = Duration.ofMillis(100);
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(2);

  private final Transactions transactions;
  private final ExecutionRepository repository;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private final Instruments instruments;
  private volatile boolean closed;

  /** Makes the recorder. */
  public OutcomeRecorder(
      Transactions transactions,
      ExecutionRepository repository,
      AuditLog auditLog,
      BillingClock clock,
      Instruments instruments) {
    this.transactions = transactions;
    this.repository = repository;
    this.auditLog = auditLog;
    this.clock = clock;
    this.instruments = instruments;
  }

  /** Writes nothing more down: the next server does, of what its sandboxes still tell. */
  void close() {
    closed = true;
  }

  /** Returns whether nothing more is written down here. */
  boolean isClosed() {
    return closed;
  }

  /**
   * Records the end and returns it once it is committed; tries again while the database is away.
   *
   * @return the outcome; empty when this server shuts down first, or the end is known already
   */
  Optional<Execution.Outcome> record(LiveExecution live, ExecutionEnd end) {
    Execution.Outcome outcome =
        new Execution.Outcome(
            end,
            clock.now(),
            NanoUsd.ZERO,
            live.journal().seal(),
            live.hashes().map(hashes -> hashes.stdout().finish()),
            live.hashes().map(hashes -> hashes.stderr().finish()));
    Duration pause = FIRST_PAUSE;
    while (!closed) {
      try {
        Optional<Execution.Outcome> recorded =
            transactions.single(transaction ->
                repository.finish(transaction, live.execution().executionId(), outcome));
        recorded.ifPresent(known -> measure(live, known));
        return recorded;
      } catch (SandkeeperException e) {
        if (!PASSING.contains(e.reason())) {
          throw e;
        }
        logger
            .atWarn()
            .addKeyValue(LogKeys.EXECUTION, live.execution().executionId())
            .log("The database is away; the end of the execution is written down later");
        try {
          Thread.sleep(pause);
        } catch (InterruptedException interrupted) {
          Thread.currentThread().interrupt();
          return Optional.empty();
        }
        pause = Collections.min(List.of(pause.multipliedBy(2), LONGEST_PAUSE));
      }
    }
    return Optional.empty();
  }

  private void measure(LiveExecution live, Execution.Outcome outcome) {
    Sandbox sandbox = live.sandbox();
    Execution execution = live.execution();
    instruments.executionFinished(
        sandbox.tenantId().value(),
        sandbox.tier(),
        execution.language().map(Enum::name).orElse("command"),
        outcome.end().reason().name(),
        Duration.between(execution.startTime(), outcome.endTime()));
  }

  /**
   * Writes down, as LOST, whatever of a sandbox's executions still counts as running.
   *
   * @param but of those that do run
   */
  void lose(Transaction transaction, Sandbox sandbox, Instant endTime, Set<ExecutionId> but) {
    for (Execution execution :
        repository.finishLost(transaction, sandbox.sandboxId(), endTime, but)) {
      execution
          .outcome()
          .ifPresent(outcome -> auditLog.append(transaction, entry(sandbox, execution, outcome)));
    }
  }

  /** Writes down that an execution is sent a signal. */
  void signalled(
      Transaction transaction,
      Principal principal,
      Sandbox sandbox,
      ExecutionId executionId,
      int number) {
    auditLog.append(
        transaction,
        sandbox
            .audited(clock.now(), AuditOperation.SIGNAL)
            .ran(executionId, AuditEntry.Run.NONE)
            .by(principal)
            .withDetail("signal " + number));
  }

  /** Writes down that nothing was run, as a policy denies it. */
  void denied(
      Transaction transaction,
      Principal principal,
      Sandbox sandbox,
      Execution execution,
      SandkeeperException denial) {
    auditLog.append(
        transaction,
        sandbox
            .audited(clock.now(), operation(execution))
            .by(principal)
            .withDetail(denial.context().get("field") + ": " + denial.context().get("rule"))
            .withOutcome(denial.reason().name()));
  }

  /** Writes down which secrets an execution is given, by their names. */
  void given(
      Transaction transaction,
      Principal principal,
      Sandbox sandbox,
      ExecutionId executionId,
      List<String> names) {
    auditLog.append(
        transaction,
        sandbox
            .audited(clock.now(), AuditOperation.SECRET_USE)
            .ran(executionId, AuditEntry.Run.NONE)
            .by(principal)
            .withDetail(String.join(", ", names)));
  }

  private AuditEntry entry(Sandbox sandbox, Execution execution, Execution.Outcome outcome) {
    ExecutionEnd end = outcome.end();
    AuditEntry.Run run =
        new AuditEntry.Run(
            Optional.of(execution.codeHash()),
            outcome.stdout().map(Execution.OutputDigest::sha256),
            outcome.stderr().map(Execution.OutputDigest::sha256),
            end.exitCode(),
            Optional.of(Duration.between(execution.startTime(), outcome.endTime())),
            end.cpuMicros(),
            end.peakMemoryBytes(),
            OptionalLong.of(outcome.cost().value()));
    String told =
        end.reason() == ExecutionEnd.Reason.COMPLETED ? AuditEntry.OK : end.reason().name();
    return sandbox
        .audited(outcome.endTime(), operation(execution))
        .ran(execution.executionId(), run)
        .withOutcome(told);
  }

  private static AuditOperation operation(Execution execution) {
    return execution.language().isPresent() ? AuditOperation.RUN_CODE : AuditOperation.RUN_COMMAND;
  }
}
