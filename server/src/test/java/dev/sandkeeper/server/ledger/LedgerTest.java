package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.Books.Wish;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.jooq.DSLContext;
import org.jooq.exception.DataAccessException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

// Goal: the figures are exact and the protocol holds, one call after the other. Method: the real
// functions in a real database, a clock that is an argument, and the invariants after every test.
final class LedgerTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  /** E2B's default sandbox: 2 cores at $0.000014 and 0.5 GiB at $0.0000045 a second. */
  private static final long NANO_USD_PER_SECOND = 30_250;

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");

  private final Books books = new Books(database);

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void defaultSandboxCostsWhatE2bCharges() {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    Wish wish = books.wish(tenant);

    Admission admission = books.admit(wish, NOON);
    assertThat(admission)
        .isInstanceOfSatisfying(
            Admission.Granted.class,
            granted -> {
              assertThat(granted.paidUntil()).isEqualTo(NOON.plusSeconds(60));
              assertThat(granted.amount().value()).isEqualTo(65 * NANO_USD_PER_SECOND);
            });
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(65 * NANO_USD_PER_SECOND);
    books.start(wish, NOON);
    assertThat(books.extend(wish.sandboxId(), NOON.plusSeconds(30)))
        .isEqualTo(new Extension.Renewed(NOON.plusSeconds(90)));
    Settlement settlement = books.settle(wish.sandboxId(), NOON.plusSeconds(80));

    assertThat(settlement.outcome()).isEqualTo(Settlement.Outcome.SETTLED);
    assertThat(settlement.cost().value()).isEqualTo(80 * NANO_USD_PER_SECOND);
    assertThat(settlement.lifetime()).isEqualTo(Duration.ofSeconds(80));
    assertThat(settlement.cpuMicros()).isEmpty();
    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.spent()).isEqualTo(settlement.cost().value());
    assertThat(quota.reserved()).isZero();
    assertThat(quota.remaining()).isEqualTo(1_000_000_000 - 80 * NANO_USD_PER_SECOND);
    assertThat(quota.resetTime()).contains(Instant.parse("2026-03-11T00:00:00Z"));
    SandboxUsage usage = books.costs.usage(wish.sandboxId(), NOON).orElseThrow();
    assertThat(usage.cost()).isEqualTo(settlement.cost());
    assertThat(usage.meteredUntil()).contains(NOON.plusSeconds(80));
  }

  @Test
  void estimateIsWhatIsHeldAndBooked() {
    Wish wish = books.wish(books.tenant());
    Duration life = Duration.ofSeconds(80);

    CostEstimate estimate = books.ledger.estimate("standard", 2, 512, life, NOON);

    assertThat(books.admit(wish, NOON))
        .isInstanceOfSatisfying(
            Admission.Granted.class,
            granted -> assertThat(granted.amount()).isEqualTo(estimate.hold()));
    books.start(wish, NOON);
    books.extend(wish.sandboxId(), NOON.plusSeconds(30));
    assertThat(books.settle(wish.sandboxId(), NOON.plus(life)).cost()).isEqualTo(estimate.cost());
  }

  @Test
  void estimateHoldsNoMoreThanTheTimeoutAndNeedsAPrice() {
    CostEstimate estimate =
        books.ledger.estimate("standard", 2, 512, Duration.ofMillis(1500), NOON);

    assertThat(estimate.cost().value()).isEqualTo(NANO_USD_PER_SECOND * 3 / 2);
    assertThat(estimate.hold().value()).isEqualTo(NANO_USD_PER_SECOND * 13 / 2);
    assertThatThrownBy(() -> books.ledger.estimate("gpu", 1, 512, Duration.ofSeconds(1), NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.NO_PRICE_FOR_TIER));
  }

  @Test
  void denialNamesTheLimitAndChangesNothing() {
    TenantId tenant = books.tenant();
    long limit = 65 * NANO_USD_PER_SECOND + 1000;
    books.limit(tenant, LimitPeriod.LIFETIME, 1_000_000_000, NOON);
    Limit hour = books.limit(tenant, LimitPeriod.HOUR, limit, NOON);
    books.run(books.wish(tenant), NOON);
    List<String> before = everything();

    Admission denied = books.admit(books.wish(tenant), NOON);

    assertThat(denied)
        .isEqualTo(
            new Admission.Denied(
                new Refusal(
                    hour.limitId(),
                    LimitScope.TENANT,
                    "",
                    LimitResource.ALL_SPEND,
                    LimitPeriod.HOUR,
                    1000,
                    65 * NANO_USD_PER_SECOND,
                    Optional.of(NOON.plusSeconds(3600)))));
    assertThat(everything()).isEqualTo(before);
    assertThat(((Admission.Denied) denied).refusal().asException().context())
        .containsEntry("limitId", hour.limitId())
        .containsEntry("remainingNanoUsd", "1000")
        .containsEntry("resetTime", "2026-03-10T13:00:00Z");
  }

  @Test
  void limitOfExactlyOneLeaseAdmitsOne() {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.MONTH, 65 * NANO_USD_PER_SECOND, NOON);

    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Granted.class);
    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Denied.class);
  }

  @Test
  void zeroLimitAdmitsNothing() {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.LIFETIME, 0, NOON);

    assertThat(books.admit(books.wish(tenant), NOON))
        .isInstanceOfSatisfying(
            Admission.Denied.class, denied -> assertThat(denied.refusal().resetTime()).isEmpty());
  }

  @Test
  void tierWithoutPriceFailsClosed() {
    Wish wish = books.wish(books.tenant(), "gpu", 1, 512);
    List<String> before = everything();

    assertThat(books.admit(wish, NOON)).isEqualTo(new Admission.NoPrice("gpu"));
    assertThat(everything()).isEqualTo(before);
  }

  @Test
  void sameRequestIsAdmittedOnce() {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    Wish first = books.wish(tenant);
    books.run(first, NOON);
    long reserved = books.quota(tenant, NOON).reserved();

    Admission again = books.admit(books.wish(tenant).withRequestId(first.requestId()), NOON);

    assertThat(again).isEqualTo(new Admission.Replayed(first.sandboxId()));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(reserved);
  }

  @Test
  void deniedRequestIsDecidedAnew() {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.DAY, 0, NOON);
    Wish wish = books.wish(tenant);
    assertThat(books.admit(wish, NOON)).isInstanceOf(Admission.Denied.class);

    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);

    assertThat(books.admit(wish, NOON)).isInstanceOf(Admission.Granted.class);
  }

  @Test
  void settleOfWhatNeverRanReleases() {
    Wish wish = books.wish(books.tenant());
    books.admit(wish, NOON);

    Settlement settlement = books.settle(wish.sandboxId(), NOON.plusSeconds(1));

    assertThat(settlement.outcome()).isEqualTo(Settlement.Outcome.RELEASED);
    assertThat(settlement.cost()).isEqualTo(NanoUsd.ZERO);
  }

  @Test
  void settlingTwiceBooksOnce() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    Settlement first = books.settle(sandbox, NOON.plusSeconds(10));

    Settlement second = books.settle(sandbox, NOON.plusSeconds(50));

    assertThat(second.outcome()).isEqualTo(Settlement.Outcome.ALREADY_ENDED);
    assertThat(second.cost()).isEqualTo(first.cost());
    assertThat(books.records(tenant, sandbox)).hasSize(1);
  }

  @Test
  void anotherGenerationIsFenced() {
    SandboxId sandbox = books.run(books.wish(books.tenant()), NOON);
    database
        .context()
        .execute("update sandbox set generation = 2 where sandbox_id = ?", sandbox.value());

    assertThat(books.extend(sandbox, NOON.plusSeconds(30))).isEqualTo(new Extension.Fenced());
    assertThatThrownBy(() -> books.settle(sandbox, NOON.plusSeconds(30)))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.SANDBOX_TAKEN_OVER));
  }

  @Test
  void leaseEndsAtTheTimeout() {
    TenantId tenant = books.tenant();
    Wish wish = books.wish(tenant).withTimeout(Duration.ofSeconds(90));
    books.run(wish, NOON);

    assertThat(books.extend(wish.sandboxId(), NOON.plusSeconds(45)))
        .isEqualTo(new Extension.Renewed(NOON.plusSeconds(90)));
  }

  @Test
  void exhaustionShortensTheLeaseThenRefuses() {
    TenantId tenant = books.tenant();
    // 100 seconds of running, and the 5 to stop.
    Limit limit = books.limit(tenant, LimitPeriod.LIFETIME, 105 * NANO_USD_PER_SECOND, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    assertThat(books.extend(sandbox, NOON.plusSeconds(30))).isInstanceOf(Extension.Renewed.class);

    assertThat(books.extend(sandbox, NOON.plusSeconds(60)))
        .isEqualTo(
            new Extension.Shortened(
                NOON.plusSeconds(100),
                new Refusal(
                    limit.limitId(),
                    LimitScope.TENANT,
                    "",
                    LimitResource.ALL_SPEND,
                    LimitPeriod.LIFETIME,
                    45 * NANO_USD_PER_SECOND,
                    65 * NANO_USD_PER_SECOND,
                    Optional.empty())));
    assertThat(books.quota(tenant, NOON).remaining()).isZero();
    assertThat(books.extend(sandbox, NOON.plusSeconds(80)))
        .isInstanceOfSatisfying(
            Extension.Refused.class,
            refused -> assertThat(refused.paidUntil()).isEqualTo(NOON.plusSeconds(100)));
    books.settle(sandbox, NOON.plusSeconds(105));

    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.spent()).isEqualTo(105 * NANO_USD_PER_SECOND);
    assertThat(overruns(limit)).isZero();
  }

  @Test
  void whatRanLongerThanPaidIsBookedAndRecordedAsOverrun() {
    TenantId tenant = books.tenant();
    Limit limit = books.limit(tenant, LimitPeriod.DAY, 65 * NANO_USD_PER_SECOND, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    Settlement settlement = books.settle(sandbox, NOON.plusSeconds(70));

    assertThat(settlement.cost().value()).isEqualTo(70 * NANO_USD_PER_SECOND);
    assertThat(overruns(limit)).isEqualTo(5 * NANO_USD_PER_SECOND);
    assertThat(books.quota(tenant, NOON).remaining()).isZero();
  }

  @Test
  void unseenEndIsEstimatedAndNeverPastThePaidTime() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    Settlement settlement = books.settle(sandbox, Optional.empty(), NOON.plusSeconds(500));

    assertThat(settlement.lifetime()).isEqualTo(Duration.ofSeconds(60));
    assertThat(books.records(tenant, sandbox)).allMatch(CostRecord::estimated);
  }

  @Test
  void leaseOverAPeriodsEndReservesInBoth() {
    TenantId tenant = books.tenant();
    Instant start = Instant.parse("2026-03-31T23:59:40Z");
    books.limit(tenant, LimitPeriod.MONTH, 1_000_000_000, start);

    SandboxId sandbox = books.run(books.wish(tenant), start);

    Instant april = Instant.parse("2026-04-01T00:00:00Z");
    assertThat(books.quota(tenant, start).reserved()).isEqualTo(20 * NANO_USD_PER_SECOND);
    assertThat(books.quota(tenant, april).reserved()).isEqualTo(45 * NANO_USD_PER_SECOND);
    books.settle(sandbox, april.plusSeconds(10));
    assertThat(books.quota(tenant, start).spent()).isEqualTo(20 * NANO_USD_PER_SECOND);
    assertThat(books.quota(tenant, april).spent()).isEqualTo(10 * NANO_USD_PER_SECOND);
    assertThat(books.quota(tenant, april).reserved()).isZero();
    assertThat(books.records(tenant, sandbox))
        .extracting(CostRecord::fromTime)
        .containsExactly(start, april);
  }

  @Test
  void fullNextPeriodRefusesToo() {
    TenantId tenant = books.tenant();
    Instant start = Instant.parse("2026-03-31T23:59:40Z");
    books.limit(tenant, LimitPeriod.HOUR, 44 * NANO_USD_PER_SECOND, start);

    assertThat(books.admit(books.wish(tenant), start))
        .isInstanceOfSatisfying(
            Admission.Denied.class,
            denied ->
                assertThat(denied.refusal().resetTime())
                    .contains(Instant.parse("2026-04-01T01:00:00Z")));
  }

  @Test
  void lateSettleBooksToThePeriodItWasReservedIn() {
    TenantId tenant = books.tenant();
    Instant start = Instant.parse("2026-03-10T12:58:00Z");
    books.limit(tenant, LimitPeriod.HOUR, 1_000_000_000, start);
    SandboxId sandbox = books.run(books.wish(tenant), start);

    books.settle(sandbox, Optional.empty(), Instant.parse("2026-03-10T15:00:00Z"));

    assertThat(books.quota(tenant, start).spent()).isEqualTo(60 * NANO_USD_PER_SECOND);
    assertThat(books.quota(tenant, start.plusSeconds(7200)).spent()).isZero();
  }

  @Test
  void lateMeteringCountsOnceInAPeriodNobodyHadReservedIn() {
    TenantId tenant = books.tenant();
    Instant start = Instant.parse("2026-03-10T12:58:00Z");
    books.limit(tenant, LimitPeriod.HOUR, 1_000_000_000, start);
    SandboxId sandbox = books.run(books.wish(tenant), start);

    Instant late = Instant.parse("2026-03-10T13:01:00Z");
    books.extend(sandbox, late);

    assertThat(books.quota(tenant, late).spent()).isEqualTo(60 * NANO_USD_PER_SECOND);
    assertThat(books.quota(tenant, start).spent()).isEqualTo(120 * NANO_USD_PER_SECOND);
  }

  @Test
  void newLimitStartsFromTheRecordsAndAdoptsTheHolds() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.extend(sandbox, NOON.plusSeconds(30));
    books.admit(books.wish(tenant), NOON.plusSeconds(30));

    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON.plusSeconds(31));

    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.spent()).isEqualTo(30 * NANO_USD_PER_SECOND);
    assertThat(quota.reserved()).isEqualTo(2 * 65 * NANO_USD_PER_SECOND);
    books.settle(sandbox, NOON.plusSeconds(40));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(65 * NANO_USD_PER_SECOND);
  }

  @Test
  void limitLoweredBelowWhatIsUsedLetsTheLeaseRunOut() {
    TenantId tenant = books.tenant();
    Limit limit = books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    books.limit(tenant, LimitPeriod.DAY, 1000, NOON.plusSeconds(10));

    assertThat(overruns(limit)).isEqualTo(65 * NANO_USD_PER_SECOND - 1000);
    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Denied.class);
    assertThat(books.extend(sandbox, NOON.plusSeconds(30)))
        .isInstanceOfSatisfying(
            Extension.Refused.class,
            refused -> {
              assertThat(refused.paidUntil()).isEqualTo(NOON.plusSeconds(60));
              assertThat(refused.refusal().remaining()).isZero();
            });
    books.settle(sandbox, NOON.plusSeconds(61));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(61 * NANO_USD_PER_SECOND);
  }

  @Test
  void refusedAgainAfterThePaidTimeBooksOnAndHoldsNothing() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.limit(tenant, LimitPeriod.DAY, 1, NOON.plusSeconds(70));

    for (int i = 0; i < 3; i++) {
      assertThat(books.extend(sandbox, NOON.plusSeconds(70)))
          .isNotInstanceOf(Extension.Renewed.class);
    }

    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.spent()).isEqualTo(70 * NANO_USD_PER_SECOND);
    assertThat(quota.reserved()).isZero();
  }

  @Test
  void deletedLimitLimitsNoMore() {
    TenantId tenant = books.tenant();
    Limit limit = books.limit(tenant, LimitPeriod.DAY, 65 * NANO_USD_PER_SECOND, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    books.transactions.run(tx -> books.limits.delete(tx, limit.limitId()));

    assertThat(books.extend(sandbox, NOON.plusSeconds(30))).isInstanceOf(Extension.Renewed.class);
    assertThat(books.limits(tenant)).isEmpty();
    assertThatThrownBy(() -> books.transactions.run(tx -> books.limits.delete(tx, "x")))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.LIMIT_NOT_FOUND));
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, Long.MIN_VALUE, 1_000_000_000_000_000_001L, Long.MAX_VALUE})
  void wrongLimitsAreRefused(long amount) {
    TenantId tenant = books.tenant();

    assertThatThrownBy(() -> books.limit(tenant, LimitPeriod.DAY, amount, NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.violations()).extracting("field").containsExactly("amount_nano_usd"));
    assertThat(books.limits(tenant)).isEmpty();
  }

  @Test
  void hugeLimitIsNoObstacle() {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.LIFETIME, Limits.MAX_AMOUNT, NOON);

    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Granted.class);
  }

  @Test
  void limitOfAnUnknownTenantIsRefused() {
    assertThatThrownBy(() -> books.limit(new TenantId("nobody"), LimitPeriod.DAY, 1, NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.TENANT_NOT_FOUND));
  }

  @Test
  void executionsShareTheTimeTheyRanTogether() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    // 0-10 idle, 10-20 a, 20-40 a and b, 40-50 b and c (which never ends), 50-60 c.
    ExecutionId a = books.execute(tenant, sandbox, NOON.plusSeconds(10));
    ExecutionId b = books.execute(tenant, sandbox, NOON.plusSeconds(20));
    books.finish(a, NOON.plusSeconds(40));
    ExecutionId c = books.execute(tenant, sandbox, NOON.plusSeconds(40));
    books.finish(b, NOON.plusSeconds(50));
    assertThat(books.executionCost(a, NOON.plusSeconds(60)).value())
        .isEqualTo(20 * NANO_USD_PER_SECOND);

    books.extend(sandbox, NOON.plusSeconds(60));

    List<CostRecord> records = books.records(tenant, sandbox);
    assertThat(amount(records, Optional.empty())).isEqualTo(10 * NANO_USD_PER_SECOND);
    assertThat(amount(records, Optional.of(a))).isEqualTo(20 * NANO_USD_PER_SECOND);
    assertThat(amount(records, Optional.of(b))).isEqualTo(15 * NANO_USD_PER_SECOND);
    assertThat(amount(records, Optional.of(c))).isEqualTo(15 * NANO_USD_PER_SECOND);
    assertThat(books.executionCost(c, NOON.plusSeconds(70)).value())
        .isEqualTo(25 * NANO_USD_PER_SECOND);
    assertThat(records).allMatch(r -> r.attribution().agentId().equals(Optional.of("agent")));
  }

  @Test
  void sharesThatDoNotDivideAddUpAllTheSame() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    for (int i = 0; i < 7; i++) {
      books.execute(tenant, sandbox, NOON);
    }

    Settlement settlement = books.settle(sandbox, NOON.plusMillis(1));

    List<CostRecord> records = books.records(tenant, sandbox);
    assertThat(settlement.cost().value()).isEqualTo(30); // 30.25 nano-USD
    assertThat(records)
        .hasSize(7)
        .allMatch(r -> r.amount().value() >= 4 && r.amount().value() <= 5);
    assertThat(records.stream().mapToLong(r -> r.amount().value()).sum()).isEqualTo(30);
    assertThat(records.stream().map(CostRecord::share).reduce(Duration.ZERO, Duration::plus))
        .isEqualTo(Duration.ofMillis(1));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3, 7, 1000})
  void slicingNeverChangesTheSum(int slices) {
    SandboxId sandbox = books.run(books.wish(books.tenant(), "standard", 1, 513), NOON);
    long millis = 61_007;
    for (int i = 1; i < slices; i++) {
      books.extend(sandbox, NOON.plusMillis(millis * i / slices));
    }

    Settlement settlement = books.settle(sandbox, NOON.plusMillis(millis));

    // 61.007 s of 0.000014 + 513/1024 * 0.0000045 USD: 991631.847... nano-USD.
    assertThat(settlement.cost().value()).isEqualTo(991_632);
  }

  @Test
  void serverCanNeitherChangeNorDeleteWhatIsBooked() {
    SandboxId sandbox = books.run(books.wish(books.tenant()), NOON);
    books.settle(sandbox, NOON.plusSeconds(1));
    DSLContext server = database.context();

    for (String statement :
        List.of(
            "update cost_record set amount_nano_usd = 0",
            "delete from cost_record",
            "truncate cost_record",
            "update usage_segment set amount_nano_usd = 0",
            "delete from usage_segment",
            "update audit_event set detail = ''",
            "delete from audit_event",
            "insert into audit_head values ('t', 1, '')",
            "update price_version set usd_per_second = 0",
            "insert into price_version (tier) values ('gpu')",
            "delete from quota_overrun",
            "drop table cost_record",
            "alter table cost_record disable trigger all")) {
      assertThatThrownBy(() -> server.execute(statement))
          .as(statement)
          .isInstanceOf(DataAccessException.class)
          .hasMessageMatching("(?s).*(permission denied|must be owner).*");
    }
  }

  @Test
  void costRecordsComeInPages() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    for (int i = 1; i <= 5; i++) {
      books.extend(sandbox, NOON.plusSeconds(i));
    }
    List<CostRecord> all = books.records(tenant, sandbox).reversed();
    List<CostRecord> read = new ArrayList<>();

    Optional<Page.Position> after = Optional.empty();
    do {
      Page<CostRecord> page = books.costs.list(CostQuery.of(tenant), new Page.Request(2, after));
      read.addAll(page.items());
      after = page.next();
    } while (after.isPresent());

    assertThat(all).hasSize(5);
    assertThat(read).isEqualTo(all);
    assertThat(
            books
                .costs
                .list(
                    CostQuery.of(books.tenant()).withSandboxId(sandbox),
                    new Page.Request(2, Optional.empty()))
                .items())
        .isEmpty();
  }

  @Test
  void wrongRequestsAreRefusedBeforeTheDatabase() {
    TenantId tenant = books.tenant();
    SandboxId sandbox = books.wish(tenant).sandboxId();
    assertThatThrownBy(() ->
            new AdmissionRequest(
                tenant,
                UUID.randomUUID(),
                sandbox,
                Attribution.NONE,
                "standard",
                Books.UNBOUNDED,
                0,
                512,
                Duration.ofHours(1)))
        .hasMessage("cpuCores: 0 (expected: > 0)");
  }

  private static long amount(List<CostRecord> records, Optional<ExecutionId> execution) {
    return records.stream()
        .filter(r -> r.executionId().equals(execution))
        .mapToLong(r -> r.amount().value())
        .sum();
  }

  private static long overruns(Limit limit) {
    return database
        .context()
        .resultQuery(
            "select coalesce(sum(amount), 0)::bigint from quota_overrun where limit_id = ?",
            Long.valueOf(limit.limitId()))
        .fetchSingle()
        .get(0, Long.class);
  }

  /** Every row that admission might touch. */
  private static List<String> everything() {
    return database
        .context()
        .resultQuery(
            "select q::text from quota_period q union all select h::text from hold h union all"
                + " select l::text from quota_limit l union all select o::text from quota_overrun o"
                + " order by 1")
        .fetch(0, String.class);
  }
}
