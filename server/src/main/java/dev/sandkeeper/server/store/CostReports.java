package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.COST_ROLLUP_HOUR;
import static dev.sandkeeper.jooq.Tables.LEDGER_UNFOLDED_HOURS;

import dev.sandkeeper.jooq.tables.CostRollupHour;
import dev.sandkeeper.jooq.tables.LedgerUnfoldedHours;
import dev.sandkeeper.server.ledger.CostReportQuery;
import dev.sandkeeper.server.ledger.CostReportRow;
import dev.sandkeeper.server.ledger.GroupBy;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.GroupField;
import org.jooq.Record;
import org.jooq.Select;
import org.jooq.Table;
import org.jooq.impl.DSL;
import org.jooq.impl.SQLDataType;

/**
 * Sums of cost records: the roll-ups, and the records that are not rolled up yet. One statement, so
 * that each record is in one of the two.
 */
final class CostReports {
  private CostReports() {}

  static List<CostReportRow> read(DSLContext context, CostReportQuery query, int maxRows) {
    CostRollupHour sum = COST_ROLLUP_HOUR.as("sum");
    Map<GroupBy, Field<String>> groups = groups(query, sum);
    // By its name, so that the array is sent once.
    Field<Integer> bucket = DSL.field(DSL.name("bucket"), SQLDataType.INTEGER);
    Field<Integer> number =
        DSL.field(
            "width_bucket({0}, {1})",
            SQLDataType.INTEGER,
            sum.HOUR,
            DSL.val(query.bucketStarts().toArray(Instant[]::new), SQLDataType.INSTANT.array()));
    Field<BigDecimal> amount = DSL.sum(sum.AMOUNT_NANO_USD);
    Field<BigDecimal> records = DSL.sum(sum.RECORD_COUNT);
    List<GroupField> by = new ArrayList<>(groups.values());
    by.add(bucket);
    LedgerUnfoldedHours unfolded = LEDGER_UNFOLDED_HOURS();
    Table<?> all =
        matching(
                query,
                COST_ROLLUP_HOUR,
                COST_ROLLUP_HOUR.HOUR,
                COST_ROLLUP_HOUR.TENANT_ID,
                COST_ROLLUP_HOUR.AGENT_ID)
            .unionAll(
                matching(query, unfolded, unfolded.HOUR, unfolded.TENANT_ID, unfolded.AGENT_ID))
            .asTable(sum);
    return context
        .select(groups.values())
        .select(number.as(bucket), amount, records)
        .from(all)
        .groupBy(by)
        .orderBy(bucket, amount.desc())
        .limit(maxRows)
        .fetch(row ->
            new CostReportRow(
                query.bucketStarts().get(row.get(bucket) - 1),
                values(groups, row),
                new NanoUsd(row.get(amount).longValueExact()),
                row.get(records).longValueExact()));
  }

  private static Select<Record> matching(
      CostReportQuery query,
      Table<?> hours,
      Field<Instant> hour,
      Field<String> tenantId,
      Field<String> agentId) {
    List<Condition> conditions = new ArrayList<>();
    conditions.add(hour.ge(query.fromTime()));
    conditions.add(hour.lt(query.toTime()));
    query.tenantId().map(tenant -> tenantId.eq(tenant.value())).ifPresent(conditions::add);
    query.agentId().map(agentId::eq).ifPresent(conditions::add);
    return DSL.select(List.of(hours.fields())).from(hours).where(conditions);
  }

  private static Map<GroupBy, Field<String>> groups(CostReportQuery query, CostRollupHour sum) {
    Map<GroupBy, Field<String>> groups = new EnumMap<>(GroupBy.class);
    query.groupBy().forEach(group -> groups.put(group, column(group, sum)));
    return groups;
  }

  private static Field<String> column(GroupBy group, CostRollupHour sum) {
    return switch (group) {
      case TENANT -> sum.TENANT_ID;
      case ORGANISATION -> sum.ORGANISATION_ID;
      case USER -> sum.USER_ID;
      case CONVERSATION -> sum.CONVERSATION_ID;
      case AGENT -> sum.AGENT_ID;
      case TASK -> sum.TASK_ID;
      case TIER -> sum.TIER;
      case SPEND -> sum.SPEND;
      case MODEL -> sum.MODEL;
    };
  }

  private static Map<GroupBy, String> values(Map<GroupBy, Field<String>> groups, Record row) {
    Map<GroupBy, String> values = new EnumMap<>(GroupBy.class);
    groups.forEach((group, column) ->
        Optional.ofNullable(row.get(column)).ifPresent(value -> values.put(group, value)));
    return values;
  }
}
