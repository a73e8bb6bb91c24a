package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.ADJUSTMENT;
import static dev.sandkeeper.jooq.Tables.COST_RECORD;
import static dev.sandkeeper.jooq.Tables.EXECUTION;
import static dev.sandkeeper.jooq.Tables.SANDBOX;
import static dev.sandkeeper.jooq.Tables.SANDBOX_CLOSING;
import static dev.sandkeeper.jooq.Tables.USAGE_SEGMENT;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.CostKind;
import dev.sandkeeper.server.ledger.CostQuery;
import dev.sandkeeper.server.ledger.CostRecord;
import dev.sandkeeper.server.ledger.CostReportQuery;
import dev.sandkeeper.server.ledger.CostReportRow;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.LeaseState;
import dev.sandkeeper.server.ledger.LlmUsage;
import dev.sandkeeper.server.ledger.LlmUse;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.ledger.PriceBasis;
import dev.sandkeeper.server.ledger.SandboxUsage;
import dev.sandkeeper.server.ledger.Spend;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.SelectOnConditionStep;
import org.jooq.impl.DSL;
import org.jooq.impl.SQLDataType;

/** What was billed, from {@code cost_record} and {@code sandbox}. */
final class JooqCostRepository implements CostRepository {
  private static final Field<Long> EXECUTION_COUNT =
      DSL.field(
          DSL.select(DSL.count().cast(SQLDataType.BIGINT))
              .from(EXECUTION)
              .where(EXECUTION.SANDBOX_ID.eq(SANDBOX.SANDBOX_ID)));
  private static final Field<Long> PAUSED_MILLIS =
      DSL.field(
              DSL.select(
                      DSL.coalesce(DSL.sum(USAGE_SEGMENT.LIFETIME_MS), 0).cast(SQLDataType.BIGINT))
                  .from(USAGE_SEGMENT)
                  .where(USAGE_SEGMENT.SANDBOX_ID.eq(SANDBOX.SANDBOX_ID))
                  .and(USAGE_SEGMENT.STATE.eq(LeaseState.PAUSED.name())))
          .plus(
              DSL.field(
                  DSL.select(
                          DSL.coalesce(DSL.sum(SANDBOX_CLOSING.PAUSED_MS), 0)
                              .cast(SQLDataType.BIGINT))
                      .from(SANDBOX_CLOSING)
                      .where(SANDBOX_CLOSING.SANDBOX_ID.eq(SANDBOX.SANDBOX_ID))));

  private final DSLContext context;

  JooqCostRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Page<CostRecord> list(CostQuery query, Page.Request page) {
    List<CostRecord> rows =
        select()
            .where(conditions(query))
            .and(
                page.after()
                    .<Condition>map(after ->
                        DSL.row(COST_RECORD.FROM_TIME, COST_RECORD.COST_RECORD_ID)
                            .lt(after.time(), Long.valueOf(after.id())))
                    .orElse(DSL.noCondition()))
            .orderBy(COST_RECORD.FROM_TIME.desc(), COST_RECORD.COST_RECORD_ID.desc())
            .limit(page.size() + 1)
            .fetch(JooqCostRepository::toCostRecord);
    return Pages.of(
        rows, page.size(), last -> new Page.Position(last.fromTime(), last.costRecordId()));
  }

  @Override
  public Optional<CostRecord> find(TenantId tenantId, String costRecordId) {
    OptionalLong number = Columns.number(costRecordId);
    if (number.isEmpty()) {
      return Optional.empty();
    }
    return select()
        .where(
            COST_RECORD.TENANT_ID.eq(tenantId.value()),
            COST_RECORD.COST_RECORD_ID.eq(number.getAsLong()))
        .fetchOptional(JooqCostRepository::toCostRecord);
  }

  @Override
  public List<CostReportRow> report(CostReportQuery query, int maxRows) {
    return CostReports.read(context, query, maxRows);
  }

  @Override
  public Optional<SandboxUsage> usage(SandboxId sandboxId, Instant now) {
    return context
        .select(
            SANDBOX.START_TIME,
            SANDBOX.END_TIME,
            PAUSED_MILLIS,
            SANDBOX.CPU_MICROS,
            SANDBOX.MEMORY_MIB_MILLIS,
            SANDBOX.PEAK_MEMORY_BYTES,
            EXECUTION_COUNT,
            SANDBOX.COST_NANO_USD,
            SANDBOX.METERED_UNTIL)
        .from(SANDBOX)
        .where(SANDBOX.SANDBOX_ID.eq(sandboxId.value()))
        .fetchOptional(row -> toUsage(row, now));
  }

  private SelectOnConditionStep<?> select() {
    return context
        .select(
            COST_RECORD.COST_RECORD_ID,
            COST_RECORD.KIND,
            COST_RECORD.SPEND,
            COST_RECORD.TENANT_ID,
            COST_RECORD.ORGANISATION_ID,
            COST_RECORD.USER_ID,
            COST_RECORD.CONVERSATION_ID,
            COST_RECORD.PATH,
            COST_RECORD.AGENT_ID,
            COST_RECORD.TASK_ID,
            COST_RECORD.CORRELATION_ID,
            COST_RECORD.WORKFLOW_ID,
            COST_RECORD.SANDBOX_ID,
            COST_RECORD.EXECUTION_ID,
            COST_RECORD.FROM_TIME,
            COST_RECORD.TO_TIME,
            COST_RECORD.TIER,
            COST_RECORD.BASIS,
            COST_RECORD.PRICE_VERSION_ID,
            COST_RECORD.STATE,
            COST_RECORD.QUALITY,
            COST_RECORD.SHARE_MICROS,
            COST_RECORD.AMOUNT_NANO_USD,
            COST_RECORD.HOLD_ID,
            COST_RECORD.MODEL,
            COST_RECORD.MODEL_PRICE_VERSION_ID,
            COST_RECORD.INPUT_TOKENS,
            COST_RECORD.CACHED_INPUT_TOKENS,
            COST_RECORD.OUTPUT_TOKENS,
            ADJUSTMENT.CORRECTED_ID,
            ADJUSTMENT.REASON)
        .from(COST_RECORD)
        .leftJoin(ADJUSTMENT)
        .on(ADJUSTMENT.COST_RECORD_ID.eq(COST_RECORD.COST_RECORD_ID));
  }

  private static List<Condition> conditions(CostQuery query) {
    List<Condition> conditions = new ArrayList<>();
    conditions.add(COST_RECORD.TENANT_ID.eq(query.tenantId().value()));
    query.agentId().map(COST_RECORD.AGENT_ID::eq).ifPresent(conditions::add);
    query.sandboxId().map(id -> COST_RECORD.SANDBOX_ID.eq(id.value())).ifPresent(conditions::add);
    query.conversationId().map(COST_RECORD.CONVERSATION_ID::eq).ifPresent(conditions::add);
    query
        .executionId()
        .map(id -> COST_RECORD.EXECUTION_ID.eq(id.value()))
        .ifPresent(conditions::add);
    query.fromTime().map(COST_RECORD.FROM_TIME::ge).ifPresent(conditions::add);
    query.toTime().map(COST_RECORD.FROM_TIME::lt).ifPresent(conditions::add);
    return conditions;
  }

  private static CostRecord toCostRecord(Record row) {
    return new CostRecord(
        row.get(COST_RECORD.COST_RECORD_ID).toString(),
        CostKind.valueOf(row.get(COST_RECORD.KIND)),
        Spend.valueOf(row.get(COST_RECORD.SPEND)),
        new TenantId(row.get(COST_RECORD.TENANT_ID)),
        Optional.ofNullable(row.get(COST_RECORD.SANDBOX_ID)).map(SandboxId::new),
        Optional.ofNullable(row.get(COST_RECORD.EXECUTION_ID)).map(ExecutionId::new),
        new Attribution(
            Optional.ofNullable(row.get(COST_RECORD.ORGANISATION_ID)),
            Optional.ofNullable(row.get(COST_RECORD.USER_ID)),
            Optional.ofNullable(row.get(COST_RECORD.CONVERSATION_ID)),
            Optional.ofNullable(row.get(COST_RECORD.PATH)),
            Optional.ofNullable(row.get(COST_RECORD.AGENT_ID)),
            Optional.ofNullable(row.get(COST_RECORD.TASK_ID)),
            Optional.ofNullable(row.get(COST_RECORD.CORRELATION_ID)),
            Optional.ofNullable(row.get(COST_RECORD.WORKFLOW_ID))),
        row.get(COST_RECORD.FROM_TIME),
        row.get(COST_RECORD.TO_TIME),
        Optional.ofNullable(row.get(COST_RECORD.PRICE_VERSION_ID))
            .or(() -> Optional.ofNullable(row.get(COST_RECORD.MODEL_PRICE_VERSION_ID)))
            .map(Object::toString),
        Optional.ofNullable(row.get(COST_RECORD.TIER)),
        Optional.ofNullable(row.get(COST_RECORD.BASIS)).map(PriceBasis::valueOf),
        "ESTIMATED".equals(row.get(COST_RECORD.QUALITY)),
        LeaseState.PAUSED.name().equals(row.get(COST_RECORD.STATE)),
        Duration.of(row.get(COST_RECORD.SHARE_MICROS), ChronoUnit.MICROS),
        new NanoUsd(row.get(COST_RECORD.AMOUNT_NANO_USD)),
        Optional.ofNullable(row.get(COST_RECORD.HOLD_ID)).map(holdId -> toLlmUse(holdId, row)),
        Optional.ofNullable(row.get(ADJUSTMENT.CORRECTED_ID)).map(Object::toString),
        Optional.ofNullable(row.get(ADJUSTMENT.REASON)));
  }

  private static LlmUse toLlmUse(Long holdId, Record row) {
    Optional<String> model = Optional.ofNullable(row.get(COST_RECORD.MODEL));
    return new LlmUse(
        holdId.toString(),
        model,
        Optional.ofNullable(row.get(COST_RECORD.INPUT_TOKENS))
            .map(inputTokens ->
                new LlmUsage(
                    model.orElseThrow(),
                    inputTokens,
                    row.get(COST_RECORD.CACHED_INPUT_TOKENS),
                    row.get(COST_RECORD.OUTPUT_TOKENS))));
  }

  private static SandboxUsage toUsage(Record row, Instant now) {
    Optional<Instant> end = Optional.ofNullable(row.get(SANDBOX.END_TIME));
    Duration lifetime =
        Optional.ofNullable(row.get(SANDBOX.START_TIME))
            .map(start -> Duration.between(start, end.orElse(now)))
            .orElse(Duration.ZERO);
    return new SandboxUsage(
        lifetime,
        Duration.ofMillis(row.get(PAUSED_MILLIS)),
        Columns.optional(row.get(SANDBOX.CPU_MICROS)),
        Columns.optional(row.get(SANDBOX.MEMORY_MIB_MILLIS)),
        Columns.optional(row.get(SANDBOX.PEAK_MEMORY_BYTES)),
        row.get(EXECUTION_COUNT),
        new NanoUsd(row.get(SANDBOX.COST_NANO_USD)),
        Optional.ofNullable(row.get(SANDBOX.METERED_UNTIL)));
  }
}
