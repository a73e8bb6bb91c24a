package dev.sandkeeper.server.ledger;

import static dev.sandkeeper.jooq.Tables.SANDBOX;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: paused time is billed once, at its own price and to nobody's execution, and going on is an
// admission. Method: as LedgerTest's.
final class PauseTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");

  /** 2 cores at $0.000014 and 0.5 GiB at $0.0000045 a second; paused, the memory alone. */
  private static final long RUNNING = 30_250;

  private static final long PAUSED = 2_250;
  private static final long FIRST_LEASE = 65 * RUNNING;

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void pausedTimeCostsWhatItsPriceSays() {
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    assertThat(books.pause(sandbox, at(20))).isEqualTo(new Extension.Renewed(at(80)));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(20 * RUNNING);
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(65 * PAUSED);
    assertThat(books.extend(sandbox, at(50))).isEqualTo(new Extension.Renewed(at(110)));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(65 * PAUSED);
    assertThat(books.resume(sandbox, at(60))).isEqualTo(new Extension.Renewed(at(120)));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(FIRST_LEASE);

    assertThat(books.settle(sandbox, at(70)).cost().value()).isEqualTo(30 * RUNNING + 40 * PAUSED);
    assertThat(books.records(tenant, sandbox))
        .extracting(CostRecord::fromTime, CostRecord::paused, cost -> cost.amount().value())
        .containsExactly(
            tuple(NOON, false, 20 * RUNNING),
            tuple(at(20), true, 30 * PAUSED),
            tuple(at(50), true, 10 * PAUSED),
            tuple(at(60), false, 10 * RUNNING));
    SandboxUsage usage = books.costs.usage(sandbox, at(70)).orElseThrow();
    assertThat(usage.lifetime()).isEqualTo(Duration.ofSeconds(70));
    assertThat(usage.paused()).isEqualTo(Duration.ofSeconds(40));
  }

  @Test
  void whatEndsWhilePausedIsBilledAsPaused() {
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.pause(sandbox, at(20));
    books
        .transactions
        .context()
        .update(SANDBOX)
        .set(SANDBOX.STATE, "STOPPING")
        .where(SANDBOX.SANDBOX_ID.eq(sandbox.value()))
        .execute();

    assertThat(books.settle(sandbox, at(30)).cost().value()).isEqualTo(20 * RUNNING + 10 * PAUSED);
  }

  @Test
  void pausingTwiceRenewsAndSoDoesResumingTwice() {
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    books.pause(sandbox, at(10));
    assertThat(books.pause(sandbox, at(20))).isEqualTo(new Extension.Renewed(at(80)));
    books.resume(sandbox, at(30));
    assertThat(books.resume(sandbox, at(40))).isEqualTo(new Extension.Renewed(at(100)));

    assertThat(books.settle(sandbox, at(50)).cost().value()).isEqualTo(30 * RUNNING + 20 * PAUSED);
  }

  @Test
  void whatHasEndedIsNeitherPausedNorResumed() {
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.settle(sandbox, at(10));

    assertThat(books.pause(sandbox, at(11))).isEqualTo(new Extension.Fenced());
    assertThat(books.resume(sandbox, at(12))).isEqualTo(new Extension.Fenced());
  }

  @Test
  void aPausedSandboxGivesBackItsCoresAndKeepsItsPlaceAndMemory() {
    Limit sandboxes = limit(LimitResource.CONCURRENT_SANDBOXES, 2);
    Limit cores = limit(LimitResource.CONCURRENT_CPU_CORES, 2);
    Limit memory = limit(LimitResource.CONCURRENT_MEMORY_MIB, 1024);
    SandboxId paused = books.run(books.wish(tenant), NOON);
    books.pause(paused, at(10));
    assertThat(reserved(sandboxes)).isEqualTo(1);
    assertThat(reserved(cores)).isZero();
    assertThat(reserved(memory)).isEqualTo(512);

    SandboxId other = books.run(books.wish(tenant), at(11));
    List<QuotaStatus> before = books.quotas(tenant, at(12));
    assertThat(books.resume(paused, at(12)))
        .isInstanceOfSatisfying(
            Extension.Refused.class,
            refused -> {
              assertThat(refused.refusal().limitId()).isEqualTo(cores.limitId());
              assertThat(refused.refusal().needed()).isEqualTo(2);
              assertThat(refused.refusal().remaining()).isZero();
            });
    assertThat(books.quotas(tenant, at(12))).isEqualTo(before);
    assertThat(state(paused)).isEqualTo("PAUSED");

    books.settle(other, at(13));
    assertThat(books.resume(paused, at(14))).isInstanceOf(Extension.Renewed.class);
    assertThat(reserved(cores)).isEqualTo(2);
    assertThat(state(paused)).isEqualTo("RUNNING");
  }

  @Test
  void aLimitSetWhilePausedTakesOverWhatIsHeldAsPaused() {
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.pause(sandbox, at(20));

    Limit money = books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, at(30));
    Limit cores = limit(LimitResource.CONCURRENT_CPU_CORES, 2);

    assertThat(reserved(money)).isEqualTo(65 * PAUSED);
    assertThat(reserved(cores)).isZero();
  }

  @Test
  void aDeniedResumeBooksWhatWasAndLeavesTheRest() {
    Limit money = books.limit(tenant, LimitPeriod.DAY, FIRST_LEASE, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.pause(sandbox, at(20));
    long used = books.quota(tenant, NOON).spent() + books.quota(tenant, NOON).reserved();

    Extension denied = books.resume(sandbox, at(30));

    assertThat(denied)
        .isInstanceOfSatisfying(
            Extension.Refused.class,
            refused -> {
              assertThat(refused.paidUntil()).isEqualTo(at(80));
              assertThat(refused.refusal().limitId()).isEqualTo(money.limitId());
              assertThat(refused.refusal().needed()).isEqualTo(FIRST_LEASE);
              assertThat(refused.refusal().remaining())
                  .isEqualTo(FIRST_LEASE - 20 * RUNNING - 10 * PAUSED);
            });
    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.spent()).isEqualTo(20 * RUNNING + 10 * PAUSED);
    assertThat(quota.spent() + quota.reserved()).isEqualTo(used);
    assertThat(state(sandbox)).isEqualTo("PAUSED");

    books.limit(tenant, LimitPeriod.DAY, 2 * FIRST_LEASE, at(40));
    assertThat(books.resume(sandbox, at(40))).isEqualTo(new Extension.Renewed(at(100)));
  }

  @Test
  void whatIsHeldForRunningPaysForBeingPaused() {
    books.limit(tenant, LimitPeriod.DAY, FIRST_LEASE, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.limit(tenant, LimitPeriod.DAY, 0, at(10));

    // Nothing new is held: a lease of paused time is less than what is given back.
    assertThat(books.pause(sandbox, at(20))).isEqualTo(new Extension.Renewed(at(80)));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(65 * PAUSED);
    assertThat(books.extend(sandbox, at(50)))
        .isInstanceOfSatisfying(
            Extension.Refused.class, refused -> assertThat(refused.paidUntil()).isEqualTo(at(80)));
    assertThat(state(sandbox)).isEqualTo("PAUSED");
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(35 * PAUSED);
  }

  @Test
  void pausedTimeUsesUpWhatIsLeft() {
    books.limit(tenant, LimitPeriod.DAY, FIRST_LEASE, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    // 6 seconds of running are left, which pay for 80 of being paused.
    books.pause(sandbox, at(59));

    assertThat(books.extend(sandbox, at(89)))
        .isInstanceOfSatisfying(
            Extension.Shortened.class,
            shortened ->
                assertThat(shortened.paidUntil())
                    .isEqualTo(at(59).plusMillis(6 * RUNNING * 1000 / PAUSED).minusSeconds(5)));
  }

  @Test
  void aPriceChangeWhilePausedSplitsTheSegmentAndTheHold() {
    Instant change = at(600);
    books.price(
        "high-memory",
        PriceBasis.ALLOCATED,
        rates("3", "0", "0"),
        rates("1", "0", "0"),
        NOON,
        NOON);
    books.price(
        "high-memory",
        PriceBasis.ALLOCATED,
        rates("3", "0", "0"),
        rates("2", "0", "0"),
        change,
        NOON);
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000_000L, NOON);
    SandboxId sandbox = books.run(books.wish(tenant, "high-memory", 1, 512), at(560));

    books.pause(sandbox, at(570));
    // 30 s at one dollar, 35 s at two.
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(100_000_000_000L);

    assertThat(books.settle(sandbox, at(610)).cost().value()).isEqualTo(80_000_000_000L);
    assertThat(books.records(tenant, sandbox))
        .extracting(CostRecord::fromTime, CostRecord::paused, cost -> cost.amount().value())
        .containsExactly(
            tuple(at(560), false, 30_000_000_000L),
            tuple(at(570), true, 30_000_000_000L),
            tuple(change, true, 20_000_000_000L));
  }

  @Test
  void slicingRunningAndPausedTimeNeverChangesTheSum() {
    Rates running = rates("0.000000000333", "0.000000000777", "0");
    Rates paused = rates("0.000000000111", "0", "0");
    books.price("gpu", PriceBasis.ALLOCATED, running, paused, NOON, NOON);
    SandboxId sandbox = books.run(books.wish(tenant, "gpu", 3, 512), NOON);

    Instant now = NOON;
    long runningMillis = 0;
    long pausedMillis = 0;
    for (int i = 1; i <= 60; i++) {
      now = now.plusMillis(997 + i);
      if (i % 7 == 3) {
        runningMillis += 997 + i;
        books.pause(sandbox, now);
      } else if (i % 7 == 0) {
        pausedMillis += 997 + i;
        books.resume(sandbox, now);
      } else if (i % 7 > 3) {
        pausedMillis += 997 + i;
        books.extend(sandbox, now);
      } else {
        runningMillis += 997 + i;
        books.extend(sandbox, now);
      }
    }

    BigDecimal exact =
        new BigDecimal("0.000002664")
            .multiply(BigDecimal.valueOf(runningMillis))
            .add(new BigDecimal("0.000000111").multiply(BigDecimal.valueOf(pausedMillis)))
            .multiply(BigDecimal.valueOf(1000));
    assertThat(pausedMillis).isPositive();
    assertThat(books.settle(sandbox, now).cost().value())
        .isEqualTo(exact.setScale(0, RoundingMode.HALF_EVEN).longValueExact());
  }

  @Test
  void byMeasurementPausedTimeIsBilledByWhatIsMeasured() {
    Instant start = at(7200);
    books.price(
        "gpu",
        PriceBasis.MEASURED,
        rates("0", "1", "1"),
        rates("0", "1", "0.5"),
        start,
        NOON.minus(Duration.ofDays(1)));
    SandboxId sandbox = books.run(books.wish(tenant, "gpu", 2, 1024), start);

    // 5 core-seconds and 10 GiB-seconds, then none and 30 at half the price.
    books.pause(sandbox, Books.reading(5_000_000, 10 * 1024_000), start.plusSeconds(20));
    books.resume(sandbox, Books.reading(5_000_000, 40 * 1024_000), start.plusSeconds(50));

    assertThat(books.records(tenant, sandbox))
        .extracting(CostRecord::paused, cost -> cost.amount().value())
        .containsExactly(tuple(false, 15_000_000_000L), tuple(true, 15_000_000_000L));
    books.settle(sandbox, start.plusSeconds(50));
  }

  @Test
  void noExecutionHasAShareOfPausedTime() {
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    ExecutionId execution = books.execute(tenant, sandbox, at(10));
    books.pause(sandbox, at(20));

    assertThat(books.executionCost(execution, at(40)).value()).isEqualTo(10 * RUNNING);
    books.resume(sandbox, at(50));
    assertThat(books.executionCost(execution, at(53)).value()).isEqualTo(13 * RUNNING);
    books.finish(execution, at(55));
    books.settle(sandbox, at(60));

    assertThat(books.executionCost(execution, at(60)).value()).isEqualTo(15 * RUNNING);
    assertThat(books.records(tenant, sandbox))
        .filteredOn(cost -> cost.executionId().equals(Optional.of(execution)))
        .extracting(CostRecord::paused, cost -> cost.amount().value())
        .containsExactly(tuple(false, 10 * RUNNING), tuple(false, 5 * RUNNING));
  }

  @Test
  void pausedTimeMayNotCostMoreThanRunning() {
    assertThatThrownBy(() ->
            books.price(
                "standard",
                PriceBasis.ALLOCATED,
                rates("1", "1", "1"),
                rates("0", "1.1", "1"),
                at(86400),
                NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> {
              assertThat(e.reason()).isEqualTo(ErrorReason.INVALID_FIELD);
              assertThat(e.violations())
                  .extracting(FieldViolation::field)
                  .containsExactly("price.paused_usd_per_core_second");
            });
  }

  private Limit limit(LimitResource resource, long amount) {
    return books.limit(
        new LimitSpec(
            tenant,
            LimitScope.TENANT,
            "",
            resource,
            LimitPeriod.LIFETIME,
            "UTC",
            LimitEnforcement.HARD,
            amount,
            List.of()),
        NOON);
  }

  private long reserved(Limit limit) {
    return books.quotas(tenant, NOON).stream()
        .filter(quota -> quota.limit().limitId().equals(limit.limitId()))
        .findFirst()
        .orElseThrow()
        .reserved();
  }

  private String state(SandboxId sandbox) {
    return books
        .transactions
        .context()
        .select(SANDBOX.STATE)
        .from(SANDBOX)
        .where(SANDBOX.SANDBOX_ID.eq(sandbox.value()))
        .fetchSingle()
        .value1();
  }

  private static Instant at(long seconds) {
    return NOON.plusSeconds(seconds);
  }

  private static Rates rates(String perSecond, String perCoreSecond, String perGibSecond) {
    return new Rates(
        new BigDecimal(perSecond), new BigDecimal(perCoreSecond), new BigDecimal(perGibSecond));
  }
}
