package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Duration;
import java.time.Instant;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jooq.exception.DataAccessException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: a month that is closed leaves nothing behind that anyone would miss but its records.
// Method: each
// test lives in later months than the one before, as what is closed stays closed.
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
final class ClosingTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final byte[] HASH = new byte[32];

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();
  private final Adjustments adjustments = new Adjustments(LedgerRepositories.adjustments());
  private Instant now = Instant.EPOCH;
  private final LlmSpend spend = books.spend(() -> now);

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  @Order(1)
  void recordWhoseMonthIsMissingIsKeptAndMovedThere() {
    now = Instant.parse("2021-06-10T12:00:00Z");
    record(5);
    assertThat(count("cost_record_default")).isEqualTo(1);

    upkeep(0).tendMonths();

    assertThat(count("cost_record_default")).isZero();
    assertThat(count("cost_record_2021_06")).isEqualTo(1);
    for (String month : List.of("2021_07", "2021_08", "2021_09")) {
      assertThat(count("cost_record_" + month)).isZero();
    }
    record(6);
    assertThat(count("cost_record_2021_06")).isEqualTo(2);
  }

  @Test
  @Order(2)
  void closedMonthLeavesSumsSealsAndRefusals() {
    Instant start = Instant.parse("2022-01-10T12:00:00Z");
    for (LimitPeriod period :
        List.of(LimitPeriod.HOUR, LimitPeriod.DAY, LimitPeriod.MONTH, LimitPeriod.LIFETIME)) {
      limit(LimitScope.TENANT, "", LimitResource.ALL_SPEND, period, "UTC", start);
    }
    // Its day begins at half past the hour of UTC.
    limit(LimitScope.USER, "ada", LimitResource.LLM_SPEND, LimitPeriod.DAY, "Asia/Kolkata", start);
    limit(
        LimitScope.TENANT,
        "",
        LimitResource.SANDBOX_SPEND,
        LimitPeriod.MONTH,
        "Asia/Kolkata",
        start);

    // A sandbox within the month, with a pause; one that runs over its end; and what others spent.
    SandboxId inside = books.run(wish(), start);
    books.pause(inside, start.plusSeconds(20));
    books.resume(inside, start.plusSeconds(40));
    books.settle(inside, start.plusSeconds(50));
    Instant late = Instant.parse("2022-01-31T23:59:30Z");
    SandboxId across = books.run(wish(), late);
    Books.Wish repeated = wish();
    books.settle(books.run(repeated, start), start.plusSeconds(7));
    now = Instant.parse("2022-01-20T18:29:59.500Z");
    LlmReservation reservation = reservation(100);
    LlmHold settled = settle(spend.reserve(reservation), 70);
    now = Instant.parse("2022-01-20T18:30:00Z");
    LlmReservation recorded = reservation(1000);
    spend.record(recorded);
    CostRecord wrong =
        books.costs.list(CostQuery.of(tenant), page()).items().stream()
            .filter(one -> one.amount().equals(new NanoUsd(1000)))
            .findFirst()
            .orElseThrow();
    Correction correction = correction(wrong, -400);
    books.transactions.call(tx -> adjustments.correct(tx, correction, now));
    Credit credit = credit(50);
    books.transactions.call(tx -> adjustments.credit(tx, credit, now));

    now = Instant.parse("2022-05-01T00:00:00Z");
    Upkeep upkeep = upkeep(2);
    upkeep.fold();
    upkeep.tendMonths();
    // The sandbox that runs has not been metered past the month's end.
    assertThat(exists("cost_record_2021_06")).isFalse();
    assertThat(count("cost_record_2022_01")).isPositive();
    books.settle(across, late.plusSeconds(50));
    upkeep.tendMonths();
    // What it came to is not rolled up.
    assertThat(count("cost_record_2022_01")).isPositive();
    upkeep.fold();
    List<CostReportRow> report = report();
    List<Long> spent = spent();
    SandboxUsage usage = books.costs.usage(inside, now).orElseThrow();

    upkeep.tendMonths();

    assertThat(exists("cost_record_2022_01")).isFalse();
    assertThat(exists("cost_record_2022_05")).isTrue();
    assertThat(count("usage_segment where from_time < '2022-02-01'")).isZero();
    assertThat(report()).isEqualTo(report).isNotEmpty();
    assertThat(spent()).isEqualTo(spent);
    assertThat(books.costs.usage(inside, now)).contains(usage);
    assertThat(usage.paused()).isEqualTo(Duration.ofSeconds(20));
    assertThat(books.ledger.checkInvariants()).isEmpty();

    // A limit that comes later counts what was spent before, in its scope.
    now = Instant.parse("2022-05-02T00:00:00Z");
    limit(LimitScope.USER, "ada", LimitResource.LLM_SPEND, LimitPeriod.LIFETIME, "UTC", now);
    assertThat(
            books.quotas(tenant, now).stream()
                .filter(quota -> quota.limit().spec().period() == LimitPeriod.LIFETIME)
                .filter(quota -> quota.limit().spec().resource() == LimitResource.LLM_SPEND)
                .map(QuotaStatus::spent))
        .containsExactly(70L + 1000 - 400 - 50);

    // Nothing can be added to it, and nothing in it asked for again.
    assertThatThrownBy(() ->
            database
                .context()
                .execute(
                    "insert into cost_record (kind, spend, tenant_id, hold_id, from_time, to_time, quality, share_micros, amount_nano_usd)"
                        + " values ('USAGE', 'LLM', 'x', -1, '2022-01-31 23:59:59Z', '2022-02-01 00:00:00Z', 'MEASURED', 0, 1)"))
        .isInstanceOf(DataAccessException.class)
        .hasMessageContaining("cost_record_closed_check");
    refused(
        ErrorReason.COST_RECORD_NOT_FOUND,
        () -> books.transactions.call(tx -> adjustments.correct(tx, correction(wrong, -1), now)));
    refused(ErrorReason.REQUEST_ID_EXPIRED, () -> spend.reserve(reservation));
    refused(ErrorReason.REQUEST_ID_EXPIRED, () -> spend.record(recorded));
    refused(
        ErrorReason.REQUEST_ID_EXPIRED,
        () -> books.transactions.call(tx -> adjustments.correct(tx, correction, now)));
    refused(
        ErrorReason.REQUEST_ID_EXPIRED,
        () -> books.transactions.call(tx -> adjustments.credit(tx, credit, now)));
    assertThat(books.admit(repeated, now)).isInstanceOf(Admission.Gone.class);
    assertThat(settle(settled, 70)).isEqualTo(settled);

    // What is left is sealed.
    String rollup = "update cost_rollup_hour set %s where hour < '2022-02-01' and tenant_id = '%s'";
    Map<String, String> changes =
        Map.of(
            "user_id = 'eve'", "user_id = 'ada'",
            "amount_nano_usd = amount_nano_usd + 1", "amount_nano_usd = amount_nano_usd - 1");
    for (Map.Entry<String, String> change : changes.entrySet()) {
      database.ownerContext().execute(rollup.formatted(change.getKey(), tenant.value()));
      assertThat(books.ledger.checkInvariants()).extracting(Violation::invariant).contains(7);
      database.ownerContext().execute(rollup.formatted(change.getValue(), tenant.value()));
    }
  }

  @Test
  @Order(3)
  void openHoldOfAMonthKeepsItOpen() {
    now = Instant.parse("2023-01-31T23:00:00Z");
    LlmHold hold = spend.reserve(reservation(100));
    record(1);
    Upkeep upkeep = upkeep(1);
    now = Instant.parse("2023-03-01T00:00:00Z");
    upkeep.fold();

    upkeep.tendMonths();
    assertThat(count("cost_record_2023_01")).isEqualTo(1);

    settle(hold, 60);
    upkeep.fold();
    assertThat(count("cost_record_2023_01")).isEqualTo(2);
    upkeep.tendMonths();
    assertThat(exists("cost_record_2023_01")).isFalse();
  }

  @Test
  @Order(4)
  void sandboxThatRunsOnAfterItsMonthIsClosedIsSettledInFull() {
    Instant start = Instant.parse("2024-01-31T23:59:30Z");
    limit(LimitScope.TENANT, "", LimitResource.ALL_SPEND, LimitPeriod.LIFETIME, "UTC", start);
    SandboxId sandbox = books.run(wish().withTimeout(Duration.ofHours(1)), start);
    books.extend(sandbox, start.plusSeconds(40));
    now = Instant.parse("2024-03-01T00:00:00Z");
    Upkeep upkeep = upkeep(1);
    upkeep.fold();
    upkeep.tendMonths();
    assertThat(exists("cost_record_2024_01")).isFalse();
    assertThat(books.ledger.checkInvariants()).isEmpty();

    Settlement settlement = books.settle(sandbox, start.plusSeconds(60));

    assertThat(settlement.cost()).isEqualTo(new NanoUsd(60 * 30_250));
    assertThat(settlement.lifetime()).isEqualTo(Duration.ofSeconds(60));
    assertThat(books.quota(tenant, now).spent()).isEqualTo(60 * 30_250);
  }

  private Upkeep upkeep(int keepMonths) {
    return new Upkeep(books.transactions, LedgerRepositories.upkeep(), () -> now, keepMonths);
  }

  private static dev.sandkeeper.server.base.Page.Request page() {
    return new dev.sandkeeper.server.base.Page.Request(1000, Optional.empty());
  }

  private Books.Wish wish() {
    return books.wish(tenant).withAttribution(ada());
  }

  private static Attribution ada() {
    return Books.attribution(null, "ada", null, null);
  }

  private void limit(
      LimitScope scope,
      String scopeId,
      LimitResource resource,
      LimitPeriod period,
      String zone,
      Instant at) {
    books.limit(
        new LimitSpec(
            tenant,
            scope,
            scopeId,
            resource,
            period,
            zone,
            LimitEnforcement.SOFT,
            1_000_000_000_000L,
            List.of()),
        at);
  }

  private LlmReservation reservation(long nanoUsd) {
    return new LlmReservation(
        tenant,
        new RequestKey(UUID.randomUUID(), HASH),
        ada(),
        new LlmCost.Amount(new NanoUsd(nanoUsd), ""),
        Duration.ofMinutes(10));
  }

  private void record(long nanoUsd) {
    spend.record(reservation(nanoUsd));
  }

  private LlmHold settle(LlmHold hold, long nanoUsd) {
    return spend.end(
        new LlmSettlement(
            tenant,
            Optional.empty(),
            hold.holdId(),
            Optional.of(new LlmCost.Amount(new NanoUsd(nanoUsd), ""))));
  }

  private Correction correction(CostRecord record, long nanoUsd) {
    return new Correction(
        tenant,
        new RequestKey(UUID.randomUUID(), HASH),
        record.costRecordId(),
        new NanoUsd(nanoUsd),
        "a mistake");
  }

  private Credit credit(long nanoUsd) {
    return new Credit(
        tenant,
        new RequestKey(UUID.randomUUID(), HASH),
        ada(),
        Spend.LLM,
        new NanoUsd(nanoUsd),
        "an outage");
  }

  private List<CostReportRow> report() {
    return books.costs.report(
        CostReportQuery.of(
            Optional.of(tenant),
            Optional.empty(),
            Instant.parse("2022-01-01T00:00:00Z"),
            Instant.parse("2022-04-01T00:00:00Z"),
            EnumSet.of(GroupBy.USER, GroupBy.SPEND),
            TimeBucket.DAY,
            Optional.empty()),
        1000);
  }

  /** What each counter says was spent. */
  private List<Long> spent() {
    return database
        .context()
        .fetch(
            "select q.spent from quota_period q join quota_limit l using (limit_id) where l.tenant_id = ?"
                + " order by limit_id, period_start",
            tenant.value())
        .getValues(0, Long.class);
  }

  private static long count(String table) {
    return database.ownerContext().fetchSingle("select count(*) from " + table).get(0, Long.class);
  }

  private static boolean exists(String table) {
    return database
        .ownerContext()
        .fetchSingle("select to_regclass('" + table + "') is not null")
        .get(0, Boolean.class);
  }

  private static void refused(ErrorReason reason, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            SandkeeperException.class, e -> assertThat(e.reason()).isEqualTo(reason));
  }
}
