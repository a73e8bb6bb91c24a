package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: a report is the sum of the records, whatever part of them is rolled up, and each is rolled
// up once.
final class CostReportTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final Instant FROM = Instant.parse("2026-03-09T00:00:00Z");
  private static final Instant TO = Instant.parse("2026-03-13T00:00:00Z");
  private static final Page.Request FIRST_PAGE = new Page.Request(1000, Optional.empty());
  private static final byte[] HASH = new byte[32];

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();
  private final UpkeepRepository upkeep = LedgerRepositories.upkeep();
  private Instant now = NOON;
  private final LlmSpend spend = books.spend(() -> now);

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void everyGroupingIsTheSumOfItsRecordsHoweverMuchIsRolledUp() {
    Random random = new Random(7);
    for (int round = 0; round < 4; round++) {
      for (int i = 0; i < 25; i++) {
        spendSomething(random);
      }
      checkEveryGrouping();
      books.transactions.single(tx -> upkeep.fold(tx, 10));
      checkEveryGrouping();
    }

    fold();
    assertThat(folded()).isEqualTo(records().size());
    checkEveryGrouping();
  }

  // Checked by mutation: with pg_snapshot_xmax for the bound in ledger_fold the late record is
  // lost.
  @Test
  void recordOfAnOlderTransactionThatCommitsLateIsRolledUp() throws Exception {
    try (Connection late = database.dataSource().getConnection()) {
      late.setAutoCommit(false);
      insert(late, 40);
      record(Books.attribution(null, "young", null, null), 2);
      fold();
      assertThat(sum()).isEqualTo(2);

      late.commit();
      assertThat(sum()).isEqualTo(42);
      record(Books.attribution(null, "young", null, null), 100);
      assertThat(sum()).isEqualTo(142);
      fold();
      assertThat(sum()).isEqualTo(142);
    }
    assertThat(folded()).isEqualTo(3);
  }

  @Test
  void rolledUpAnewTheyAreTheSame() {
    Random random = new Random(11);
    for (int i = 0; i < 40; i++) {
      spendSomething(random);
      if (i % 7 == 0) {
        fold();
      }
    }
    fold();
    String before = rollups();

    database.ownerContext().execute("select ledger_rebuild_hours()");

    assertThat(rollups()).isEqualTo(before);
    checkEveryGrouping();
  }

  @Test
  void afterARestoreIntoAPostgresThatIsBehindTheyAreMadeAnew() {
    record(Books.attribution(null, null, null, null), 3);
    fold();
    database
        .ownerContext()
        .execute("update cost_progress set folded_below = folded_below + 1000000000");
    record(Books.attribution(null, null, null, null), 4);

    fold();

    assertThat(sum()).isEqualTo(7);
    record(Books.attribution(null, null, null, null), 5);
    fold();
    assertThat(sum()).isEqualTo(12);
  }

  @Test
  void whatIsRolledUpWronglyBreaksTheSeventhInvariant() {
    record(Books.attribution(null, "ada", null, null), 3);
    fold();
    String where = " where tenant_id = '" + tenant.value() + "'";
    for (String change :
        List.of("amount_nano_usd = amount_nano_usd + 1", "user_id = 'eve'", "record_count = 2")) {
      database.ownerContext().execute("update cost_rollup_hour set " + change + where);
      assertThat(books.ledger.checkInvariants())
          .extracting(Violation::invariant)
          .contains(7)
          .containsOnly(7);
      database.ownerContext().execute("select ledger_rebuild_hours()");
    }
  }

  @Test
  void dayBeginsByTheClocksOfItsZone() {
    // Clocks in Berlin go forward on 2026-03-29: that day has 23 hours, from 23:00 to 22:00 UTC.
    for (String time :
        List.of(
            "2026-03-28T22:59:59Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T21:59:59Z",
            "2026-03-29T22:00:00Z")) {
      now = Instant.parse(time);
      record(Books.attribution(null, null, null, null), 1);
    }
    fold();

    assertThat(
            books.costs.report(
                CostReportQuery.of(
                    Optional.of(tenant),
                    Optional.empty(),
                    Instant.parse("2026-03-28T12:00:00Z"),
                    Instant.parse("2026-03-31T12:00:00Z"),
                    Set.of(),
                    TimeBucket.DAY,
                    Optional.of("Europe/Berlin")),
                100))
        .extracting(row -> row.startTime() + " " + row.recordCount())
        .containsExactly(
            "2026-03-28T12:00:00Z 1", "2026-03-28T23:00:00Z 2", "2026-03-29T22:00:00Z 1");
  }

  @Test
  void monthBeginsByTheClocksOfItsZone() {
    now = Instant.parse("2026-03-31T21:59:59Z");
    record(Books.attribution(null, null, null, null), 1);
    now = Instant.parse("2026-03-31T22:00:00Z");
    record(Books.attribution(null, null, null, null), 1);

    assertThat(
            books.costs.report(
                CostReportQuery.of(
                    Optional.of(tenant),
                    Optional.empty(),
                    Instant.parse("2026-02-28T23:00:00Z"),
                    Instant.parse("2026-04-30T22:00:00Z"),
                    Set.of(),
                    TimeBucket.MONTH,
                    Optional.of("Europe/Berlin")),
                100))
        .extracting(row -> row.startTime() + " " + row.recordCount())
        .containsExactly("2026-02-28T23:00:00Z 1", "2026-03-31T22:00:00Z 1");
  }

  @ParameterizedTest
  @CsvSource({
    "2026-03-10T00:30:00Z, 2026-03-11T00:00:00Z, DAY,   UTC,              start_time",
    "2026-03-10T00:00:00Z, 2026-03-11T00:00:01Z, DAY,   UTC,              end_time",
    "2026-03-10T00:00:00Z, 2026-03-10T00:00:00Z, DAY,   UTC,              end_time",
    "2026-03-10T00:00:00Z, 2027-03-11T01:00:00Z, DAY,   UTC,              end_time",
    "2026-03-10T00:00:00Z, 2026-03-11T00:00:00Z, DAY,   Asia/Kolkata,     zone",
    "2026-03-10T00:00:00Z, 2026-05-11T00:00:00Z, MONTH, Australia/Lord_Howe, zone",
    "2026-03-10T00:00:00Z, 2026-03-11T00:00:00Z, DAY,   Mars/Olympus,     zone",
    "2026-03-10T00:00:00Z, 2026-03-11T00:00:00Z, HOUR,  Europe/Berlin,    zone",
  })
  void rangeOrZoneThatSumsByTheHourDoNotAnswerIsRefused(
      Instant from, Instant to, TimeBucket bucket, String zone, String field) {
    assertThatThrownBy(() ->
            CostReportQuery.of(
                Optional.of(tenant),
                Optional.empty(),
                from,
                to,
                Set.of(),
                bucket,
                Optional.of(zone)))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> {
              assertThat(e.reason()).isEqualTo(ErrorReason.INVALID_FIELD);
              assertThat(e.violations())
                  .singleElement()
                  .hasFieldOrPropertyWithValue("field", field);
            });
  }

  private void checkEveryGrouping() {
    List<CostRecord> records = records();
    for (Set<GroupBy> groupBy : groupings()) {
      for (TimeBucket bucket : List.of(TimeBucket.RANGE, TimeBucket.HOUR, TimeBucket.DAY)) {
        Map<String, Long> expected = new HashMap<>();
        for (CostRecord record : records) {
          Instant start =
              switch (bucket) {
                case HOUR -> record.fromTime().truncatedTo(ChronoUnit.HOURS);
                case DAY -> record.fromTime().truncatedTo(ChronoUnit.DAYS);
                case RANGE, MONTH -> FROM;
              };
          Map<GroupBy, String> groups = new EnumMap<>(GroupBy.class);
          groupBy.forEach(
              group -> value(group, record).ifPresent(value -> groups.put(group, value)));
          expected.merge(start + " " + groups, record.amount().value(), Long::sum);
        }
        Map<String, Long> reported = new HashMap<>();
        for (CostReportRow row : report(groupBy, bucket)) {
          Map<GroupBy, String> groups = new EnumMap<>(GroupBy.class);
          groups.putAll(row.groups());
          reported.put(row.startTime() + " " + groups, row.amount().value());
        }
        assertThat(reported).as("%s %s", groupBy, bucket).isEqualTo(expected);
      }
    }
  }

  private static List<Set<GroupBy>> groupings() {
    List<Set<GroupBy>> groupings = new ArrayList<>();
    groupings.add(Set.of());
    for (GroupBy one : GroupBy.values()) {
      groupings.add(EnumSet.of(one));
    }
    groupings.add(EnumSet.of(GroupBy.USER, GroupBy.SPEND));
    groupings.add(EnumSet.allOf(GroupBy.class));
    return groupings;
  }

  private static Optional<String> value(GroupBy group, CostRecord record) {
    return switch (group) {
      case TENANT -> Optional.of(record.tenantId().value());
      case ORGANISATION -> record.attribution().organisationId();
      case USER -> record.attribution().userId();
      case CONVERSATION -> record.attribution().conversationId();
      case AGENT -> record.attribution().agentId();
      case TASK -> record.attribution().taskId();
      case TIER -> record.tier();
      case SPEND -> Optional.of(record.spend().name());
      case MODEL -> record.llm().flatMap(LlmUse::model);
    };
  }

  private void spendSomething(Random random) {
    Attribution attribution =
        new Attribution(
            pick(random, "org"),
            pick(random, "user"),
            pick(random, "talk"),
            pick(random, "path"),
            pick(random, "agent"),
            pick(random, "task"),
            Optional.empty(),
            Optional.empty());
    now = FROM.plusSeconds(random.nextInt(4 * 24 * 3600 - 60));
    if (random.nextInt(4) == 0) {
      SandboxId sandbox = books.run(books.wish(tenant).withAttribution(attribution), now);
      books.settle(sandbox, now.plusSeconds(1 + random.nextInt(50)));
    } else {
      record(attribution, 1 + random.nextInt(1000));
    }
  }

  private static Optional<String> pick(Random random, String kind) {
    int choice = random.nextInt(3);
    // The word for nothing must not be taken for nothing.
    return choice == 0 ? Optional.empty() : Optional.of(choice == 1 ? "NULL" : kind);
  }

  private void record(Attribution attribution, long nanoUsd) {
    spend.record(
        new LlmReservation(
            tenant,
            new RequestKey(UUID.randomUUID(), HASH),
            attribution,
            new LlmCost.Amount(new NanoUsd(nanoUsd), nanoUsd % 2 == 0 ? "even" : ""),
            Duration.ofMinutes(1)));
  }

  private void insert(Connection connection, long nanoUsd) throws Exception {
    try (PreparedStatement insert =
        connection.prepareStatement(
            "insert into cost_record (kind, spend, tenant_id, hold_id, from_time, to_time, quality, share_micros, amount_nano_usd)"
                + " values ('USAGE', 'LLM', ?, -1, '2026-03-10 12:00:00Z', '2026-03-10 12:00:00Z', 'MEASURED', 0, ?)")) {
      insert.setString(1, tenant.value());
      insert.setLong(2, nanoUsd);
      insert.executeUpdate();
    }
  }

  private void fold() {
    new Upkeep(books.transactions, upkeep, () -> now, 0).fold();
  }

  private long sum() {
    return report(Set.of(), TimeBucket.RANGE).stream().mapToLong(row -> row.amount().value()).sum();
  }

  private long folded() {
    return database
        .context()
        .fetchSingle(
            "select coalesce(sum(record_count), 0)::bigint from cost_rollup_hour where tenant_id = ?",
            tenant.value())
        .get(0, Long.class);
  }

  private String rollups() {
    return database
        .context()
        .fetch("select * from cost_rollup_hour order by tenant_id, hour, group_hash")
        .formatCSV();
  }

  private List<CostReportRow> report(Set<GroupBy> groupBy, TimeBucket bucket) {
    return books.costs.report(
        CostReportQuery.of(
            Optional.of(tenant), Optional.empty(), FROM, TO, groupBy, bucket, Optional.empty()),
        10_000);
  }

  private List<CostRecord> records() {
    return books.costs.list(CostQuery.of(tenant), FIRST_PAGE).items();
  }
}
