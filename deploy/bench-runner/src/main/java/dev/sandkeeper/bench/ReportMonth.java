package dev.sandkeeper.bench;

import dev.sandkeeper.server.ledger.CostReportQuery;
import dev.sandkeeper.server.ledger.CostReportRow;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.GroupBy;
import dev.sandkeeper.server.ledger.TimeBucket;
import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A report by tenant and day of a month with ten million cost records, all rolled up; raw: the same
 * sums from the records themselves.
 *
 * <p>A hundred tenants have a conversation in each hour, of 134 records: about what a sandbox
 * writes that runs all through it. What shortens the report is that so many are one sum; the
 * shorter conversations are, the less.
 */
final class ReportMonth implements Row {
  private static final int RECORDS = 10_000_000;
  private static final int FEW_RECORDS = 200_000;
  private static final int TENANTS = 100;
  private static final int DAYS = 31;
  private static final Instant FROM = Instant.parse("2026-01-01T00:00:00Z");
  private static final Instant TO = Instant.parse("2026-02-01T00:00:00Z");

  private static final String RAW =
      "select tenant_id, date_trunc('day', from_time, 'UTC') as day, sum(amount_nano_usd), count(*) from cost_record"
          + " where from_time >= '"
          + FROM
          + "' and from_time < '"
          + TO
          + "' group by tenant_id, day";

  @Override
  public Spec spec() {
    return new Spec("report_month", "ms", Better.LOWER, Floor.p50(100), 5, 5);
  }

  @Override
  public Runs start(Lab lab) throws IOException {
    int records = lab.isBrief() ? FEW_RECORDS : RECORDS;
    System.out.printf("report_month: from %,d cost records%n", records);
    LedgerLab ledger = lab.openLedger();
    fill(ledger, records);
    CostRepository costs = ledger.costs();
    CostReportQuery query =
        CostReportQuery.of(
            Optional.empty(),
            Optional.empty(),
            FROM,
            TO,
            Set.of(GroupBy.TENANT),
            TimeBucket.DAY,
            Optional.empty());
    Connection connection = ledger.connect();
    return Runs.of(
        () -> Timing.millis(() -> report(costs, query, records)),
        () -> Timing.millis(() -> scan(connection, records)));
  }

  /** Into a table without indexes, which get built at once when it becomes the month. */
  private static void fill(LedgerLab ledger, int records) {
    ledger.sql("create table cost_record_2026_01 (like cost_record including defaults)");
    ledger.sql(
        "insert into cost_record_2026_01 (cost_record_id, kind, spend, tenant_id, user_id, conversation_id, agent_id, hold_id,"
            + " from_time, to_time, quality, share_micros, model, amount_nano_usd)"
            + " select i + 1, 'USAGE', 'LLM', 't-' || i % "
            + TENANTS
            + ", 'user-' || c % 50, 'conversation-' || c, 'agent-' || c % 5, i, at, at, 'MEASURED', 0,"
            + " 'model-' || c % 3, 1000 + i % 1000 from generate_series(0, "
            + (records - 1)
            + ") as i"
            + " cross join lateral (select timestamptz '"
            + FROM
            + "' + (i * 86400.0 * "
            + DAYS
            + " / "
            + records
            + ") * interval '1 second' as at) as t"
            + " cross join lateral (select extract(epoch from at)::bigint / 3600 * 100 + i % 100 as c) as v");
    ledger.sql(
        "set maintenance_work_mem = '256MB'; alter table cost_record attach partition cost_record_2026_01 for values from ('"
            + FROM
            + "') to ('"
            + TO
            + "')");
    ledger.sql("set work_mem = '256MB'; select ledger_rebuild_hours()");
    ledger.sql("vacuum analyze cost_record");
    ledger.sql("vacuum analyze cost_rollup_hour");
  }

  private static void report(CostRepository costs, CostReportQuery query, int records) {
    List<CostReportRow> rows = costs.report(query, TENANTS * DAYS + 1);
    check(rows.size(), rows.stream().mapToLong(CostReportRow::recordCount).sum(), records);
  }

  private static void scan(Connection connection, int records) {
    try (Statement statement = connection.createStatement()) {
      // Longer than a server lets any of its statements take.
      statement.execute("set statement_timeout = 0");
      scan(statement, records);
    } catch (SQLException e) {
      throw new BenchException(String.valueOf(e.getMessage()));
    }
  }

  private static void scan(Statement statement, int records) throws SQLException {
    try (ResultSet result = statement.executeQuery(RAW)) {
      int rows = 0;
      long sum = 0;
      while (result.next()) {
        rows++;
        sum += result.getLong(4);
      }
      check(rows, sum, records);
    }
  }

  private static void check(int rows, long sum, int records) {
    if (rows != TENANTS * DAYS || sum != records) {
      throw new BenchException(
          "the report has " + rows + " rows of " + sum + " records, not of " + records);
    }
  }
}
