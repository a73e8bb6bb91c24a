package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.EXECUTION;
import static dev.sandkeeper.jooq.Tables.EXECUTION_BEGIN;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.jooq.tables.records.ExecutionBeginRecord;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.execution.Execution;
import dev.sandkeeper.server.execution.ExecutionRepository;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.impl.DSL;
import org.jspecify.annotations.Nullable;

/** Executions in {@code execution}. */
final class JooqExecutionRepository implements ExecutionRepository {
  private static final String RUNNING = "RUNNING";
  private static final String FINISHED = "FINISHED";
  private static final List<Field<?>> COLUMNS =
      List.of(
          EXECUTION.EXECUTION_ID,
          EXECUTION.SANDBOX_ID,
          EXECUTION.TENANT_ID,
          EXECUTION.LANGUAGE,
          EXECUTION.REASON,
          EXECUTION.START_TIME,
          EXECUTION.END_TIME,
          EXECUTION.EXIT_CODE,
          EXECUTION.SIGNAL,
          EXECUTION.CPU_MICROS,
          EXECUTION.PEAK_MEMORY_BYTES,
          EXECUTION.STDOUT_BYTES,
          EXECUTION.STDERR_BYTES,
          EXECUTION.CODE_HASH,
          EXECUTION.STDOUT_HASH,
          EXECUTION.STDERR_HASH,
          EXECUTION.LAST_SEQUENCE,
          EXECUTION.COST_NANO_USD);

  private final DSLContext context;

  JooqExecutionRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Insertion insert(
      Transaction transaction,
      Principal principal,
      Execution execution,
      RequestKey requestKey,
      boolean hasRoom) {
    ExecutionBeginRecord answer =
        JooqTransaction.contextOf(transaction)
            .selectFrom(
                EXECUTION_BEGIN(
                    execution.executionId().value(),
                    execution.sandboxId().value(),
                    requestKey.requestId(),
                    requestKey.contentHash(),
                    execution.language().isPresent() ? "code" : "command",
                    execution.language().map(Language::name).orElse(null),
                    execution.startTime(),
                    execution.codeHash(),
                    principal.keyId(),
                    principal.agentId().orElse(null),
                    text(principal.origin().remoteAddress()),
                    text(principal.origin().userAgent()),
                    hasRoom))
            .fetchSingle();
    return switch (answer.getOutcome()) {
      case "ADDED" -> new Insertion.Added();
      case "REPEATED" ->
          new Insertion.Repeated(new ExecutionId(answer.getExecutionId()), answer.getRequestHash());
      case "NO_ROOM" -> new Insertion.NoRoom();
      case "NOT_RUNNING" -> new Insertion.NotRunning();
      default -> throw StoreErrors.unexpected("execution_begin", answer.getOutcome());
    };
  }

  @Override
  public Optional<Execution.Outcome> finish(
      Transaction transaction, ExecutionId executionId, Execution.Outcome outcome) {
    ExecutionEnd end = outcome.end();
    @Nullable Long cost =
        Routines.executionFinish(
            JooqTransaction.contextOf(transaction).configuration(),
            executionId.value(),
            outcome.endTime(),
            end.reason().name(),
            Columns.nullable(end.exitCode()),
            Columns.nullable(end.signal()),
            Columns.nullable(end.cpuMicros()),
            Columns.nullable(end.peakMemoryBytes()),
            outcome.lastSequence(),
            bytes(outcome.stdout()),
            hash(outcome.stdout()),
            bytes(outcome.stderr()),
            hash(outcome.stderr()));
    return Optional.ofNullable(cost).map(NanoUsd::new).map(outcome::withCost);
  }

  @Override
  public List<Execution> finishLost(
      Transaction transaction, SandboxId sandboxId, Instant endTime, Set<ExecutionId> but) {
    return JooqTransaction.contextOf(transaction)
        .update(EXECUTION)
        .set(EXECUTION.STATE, FINISHED)
        .set(EXECUTION.REASON, ExecutionEnd.Reason.LOST.name())
        .set(
            EXECUTION.END_TIME,
            DSL.greatest(DSL.val(endTime, EXECUTION.END_TIME), EXECUTION.START_TIME))
        .where(EXECUTION.SANDBOX_ID.eq(sandboxId.value()))
        .and(EXECUTION.STATE.eq(RUNNING))
        .and(EXECUTION.EXECUTION_ID.notIn(but.stream().map(ExecutionId::value).toList()))
        .returning(COLUMNS)
        .fetch(JooqExecutionRepository::toExecution);
  }

  @Override
  public List<Execution> running(SandboxId sandboxId) {
    return context
        .select(COLUMNS)
        .from(EXECUTION)
        .where(EXECUTION.SANDBOX_ID.eq(sandboxId.value()))
        .and(EXECUTION.STATE.eq(RUNNING))
        .fetch(JooqExecutionRepository::toExecution);
  }

  @Override
  public Optional<Execution> find(ExecutionId executionId) {
    return context
        .select(COLUMNS)
        .from(EXECUTION)
        .where(EXECUTION.EXECUTION_ID.eq(executionId.value()))
        .fetchOptional(JooqExecutionRepository::toExecution);
  }

  @Override
  public Page<Execution> list(SandboxId sandboxId, Page.Request page) {
    Condition behind =
        page.after()
            .map(after ->
                DSL.row(EXECUTION.START_TIME, EXECUTION.EXECUTION_ID).lt(after.time(), after.id()))
            .orElse(DSL.noCondition());
    List<Execution> rows =
        context
            .select(COLUMNS)
            .from(EXECUTION)
            .where(EXECUTION.SANDBOX_ID.eq(sandboxId.value()))
            .and(behind)
            .orderBy(EXECUTION.START_TIME.desc(), EXECUTION.EXECUTION_ID.desc())
            .limit(page.size() + 1)
            .fetch(JooqExecutionRepository::toExecution);
    return Pages.of(
        rows, page.size(), last -> new Page.Position(last.startTime(), last.executionId().value()));
  }

  private static Execution toExecution(Record row) {
    return new Execution(
        new ExecutionId(row.get(EXECUTION.EXECUTION_ID)),
        new SandboxId(row.get(EXECUTION.SANDBOX_ID)),
        new TenantId(row.get(EXECUTION.TENANT_ID)),
        Optional.ofNullable(row.get(EXECUTION.LANGUAGE)).map(Language::valueOf),
        row.get(EXECUTION.START_TIME),
        row.get(EXECUTION.CODE_HASH),
        Optional.ofNullable(row.get(EXECUTION.END_TIME)).map(endTime -> outcome(row, endTime)));
  }

  private static Execution.Outcome outcome(Record row, Instant endTime) {
    return new Execution.Outcome(
        new ExecutionEnd(
            ExecutionEnd.Reason.valueOf(row.get(EXECUTION.REASON)),
            Columns.optional(row.get(EXECUTION.EXIT_CODE)),
            Columns.optional(row.get(EXECUTION.SIGNAL)),
            Columns.optional(row.get(EXECUTION.CPU_MICROS)),
            Columns.optional(row.get(EXECUTION.PEAK_MEMORY_BYTES))),
        endTime,
        Optional.ofNullable(row.get(EXECUTION.COST_NANO_USD))
            .map(NanoUsd::new)
            .orElse(NanoUsd.ZERO),
        row.get(EXECUTION.LAST_SEQUENCE),
        digest(row.get(EXECUTION.STDOUT_BYTES), row.get(EXECUTION.STDOUT_HASH)),
        digest(row.get(EXECUTION.STDERR_BYTES), row.get(EXECUTION.STDERR_HASH)));
  }

  private static Optional<Execution.OutputDigest> digest(long bytes, byte @Nullable [] hash) {
    return Optional.ofNullable(hash).map(sha256 -> new Execution.OutputDigest(bytes, sha256));
  }

  private static @Nullable String text(String value) {
    return value.isEmpty() ? null : value;
  }

  private static long bytes(Optional<Execution.OutputDigest> digest) {
    return digest.map(Execution.OutputDigest::bytes).orElse(0L);
  }

  private static byte @Nullable [] hash(Optional<Execution.OutputDigest> digest) {
    return digest.map(Execution.OutputDigest::sha256).orElse(null);
  }
}
