package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.EXECUTION;
import static dev.sandkeeper.jooq.Tables.SANDBOX;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.execution.Execution;
import dev.sandkeeper.server.execution.ExecutionRepository;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.sandbox.SandboxState;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
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
  public Insertion insert(Transaction transaction, Execution execution, RequestKey requestKey) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    // The lock on the sandbox makes whoever stops it wait, or has this call see that it is stopped.
    int added =
        inside
            .insertInto(
                EXECUTION,
                EXECUTION.EXECUTION_ID,
                EXECUTION.SANDBOX_ID,
                EXECUTION.TENANT_ID,
                EXECUTION.REQUEST_ID,
                EXECUTION.REQUEST_HASH,
                EXECUTION.KIND,
                EXECUTION.LANGUAGE,
                EXECUTION.STATE,
                EXECUTION.START_TIME,
                EXECUTION.CODE_HASH)
            .select(
                DSL.select(
                        DSL.val(execution.executionId().value()),
                        SANDBOX.SANDBOX_ID,
                        SANDBOX.TENANT_ID,
                        DSL.val(requestKey.requestId()),
                        DSL.val(requestKey.contentHash()),
                        DSL.val(execution.language().isPresent() ? "code" : "command"),
                        DSL.val(
                            execution.language().map(Language::name).orElse(null),
                            EXECUTION.LANGUAGE),
                        DSL.val(RUNNING),
                        DSL.val(execution.startTime(), EXECUTION.START_TIME),
                        DSL.val(execution.codeHash()))
                    .from(SANDBOX)
                    .where(SANDBOX.SANDBOX_ID.eq(execution.sandboxId().value()))
                    .and(SANDBOX.STATE.eq(SandboxState.RUNNING.name()))
                    .and(SANDBOX.PAID_UNTIL.gt(execution.startTime()))
                    .forNoKeyUpdate())
            .onConflict(EXECUTION.TENANT_ID, EXECUTION.REQUEST_ID)
            .doNothing()
            .execute();
    if (added == 0) {
      return repeated(inside, execution.tenantId(), requestKey)
          .orElseGet(Insertion.NotRunning::new);
    }
    inside
        .update(SANDBOX)
        .set(SANDBOX.COMMAND_COUNT, SANDBOX.COMMAND_COUNT.plus(1))
        .where(SANDBOX.SANDBOX_ID.eq(execution.sandboxId().value()))
        .execute();
    return new Insertion.Added();
  }

  @Override
  public boolean finish(
      Transaction transaction, ExecutionId executionId, Execution.Outcome outcome) {
    ExecutionEnd end = outcome.end();
    return JooqTransaction.contextOf(transaction)
            .update(EXECUTION)
            .set(EXECUTION.STATE, FINISHED)
            .set(EXECUTION.REASON, end.reason().name())
            .set(EXECUTION.END_TIME, outcome.endTime())
            .set(EXECUTION.EXIT_CODE, Columns.nullable(end.exitCode()))
            .set(EXECUTION.SIGNAL, Columns.nullable(end.signal()))
            .set(EXECUTION.CPU_MICROS, Columns.nullable(end.cpuMicros()))
            .set(EXECUTION.PEAK_MEMORY_BYTES, Columns.nullable(end.peakMemoryBytes()))
            .set(EXECUTION.STDOUT_BYTES, bytes(outcome.stdout()))
            .set(EXECUTION.STDERR_BYTES, bytes(outcome.stderr()))
            .set(EXECUTION.STDOUT_HASH, hash(outcome.stdout()))
            .set(EXECUTION.STDERR_HASH, hash(outcome.stderr()))
            .set(EXECUTION.LAST_SEQUENCE, outcome.lastSequence())
            .set(EXECUTION.COST_NANO_USD, outcome.cost().value())
            .where(EXECUTION.EXECUTION_ID.eq(executionId.value()))
            .and(EXECUTION.STATE.eq(RUNNING))
            .execute()
        == 1;
  }

  @Override
  public List<Execution> finishLost(Transaction transaction, SandboxId sandboxId, Instant endTime) {
    return JooqTransaction.contextOf(transaction)
        .update(EXECUTION)
        .set(EXECUTION.STATE, FINISHED)
        .set(EXECUTION.REASON, ExecutionEnd.Reason.LOST.name())
        .set(
            EXECUTION.END_TIME,
            DSL.greatest(DSL.val(endTime, EXECUTION.END_TIME), EXECUTION.START_TIME))
        .where(EXECUTION.SANDBOX_ID.eq(sandboxId.value()))
        .and(EXECUTION.STATE.eq(RUNNING))
        .returning(COLUMNS)
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

  private static Optional<Insertion> repeated(
      DSLContext inside, TenantId tenantId, RequestKey requestKey) {
    return inside
        .select(EXECUTION.EXECUTION_ID, EXECUTION.REQUEST_HASH)
        .from(EXECUTION)
        .where(EXECUTION.TENANT_ID.eq(tenantId.value()))
        .and(EXECUTION.REQUEST_ID.eq(requestKey.requestId()))
        .fetchOptional(row ->
            new Insertion.Repeated(
                new ExecutionId(row.get(EXECUTION.EXECUTION_ID)), row.get(EXECUTION.REQUEST_HASH)));
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

  private static long bytes(Optional<Execution.OutputDigest> digest) {
    return digest.map(Execution.OutputDigest::bytes).orElse(0L);
  }

  private static byte @Nullable [] hash(Optional<Execution.OutputDigest> digest) {
    return digest.map(Execution.OutputDigest::sha256).orElse(null);
  }
}
