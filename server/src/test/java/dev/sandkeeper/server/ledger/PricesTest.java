package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: the price book has neither gap nor overlap, and what runs over a change or by measurement
// is billed right. Method: one price book for the class, so the tests go on in time.
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
final class PricesTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final Rates ONE_CENT_A_SECOND = rates("0.01", "0", "0");
  private static final Rates TWO_CENTS_A_SECOND = rates("0.02", "0", "0");

  private final Books books = new Books(database);

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  @Order(1)
  void standardIsSeededWithE2bsPrices() {
    assertThat(books.prices.list(Optional.empty()))
        .singleElement()
        .satisfies(price -> {
          assertThat(price.tier()).isEqualTo("standard");
          assertThat(price.basis()).isEqualTo(PriceBasis.ALLOCATED);
          assertThat(price.rates().usdPerCoreSecond()).isEqualByComparingTo("0.000014");
          assertThat(price.rates().usdPerGibSecond()).isEqualByComparingTo("0.0000045");
          assertThat(price.startTime()).isEqualTo(Instant.EPOCH);
          assertThat(price.endTime()).isEmpty();
        });
  }

  @Test
  @Order(2)
  void firstPriceOfATierMayStartNowButNotBefore() {
    refused(
        ErrorReason.PRICE_START_REFUSED,
        () ->
            books.price("gpu", PriceBasis.ALLOCATED, ONE_CENT_A_SECOND, NOON.minusMillis(1), NOON));
    assertThatThrownBy(() -> books.prices.get("gpu", NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.PRICE_NOT_FOUND));

    Price price = books.price("gpu", PriceBasis.ALLOCATED, ONE_CENT_A_SECOND, NOON, NOON);

    assertThat(books.prices.get("gpu", NOON)).isEqualTo(price);
    assertThat(books.admit(books.wish(books.tenant(), "gpu", 1, 512), NOON))
        .isInstanceOf(Admission.Granted.class);
    assertThat(books.admit(books.wish(books.tenant(), "gpu", 1, 512), NOON.minusSeconds(1)))
        .as("a lease that begins before the price")
        .isInstanceOf(Admission.NoPrice.class);
  }

  @Test
  @Order(3)
  void nextPriceStartsAfterEveryLeaseAtTheOldOne() {
    Duration lead = Books.SETTINGS.priceLead();
    assertThat(lead).isGreaterThan(Books.LEASE.plus(Books.STOP_TIME));
    refused(
        ErrorReason.PRICE_START_REFUSED,
        () -> books.price("gpu", PriceBasis.ALLOCATED, TWO_CENTS_A_SECOND, NOON.plus(lead), NOON));

    Instant change = NOON.plus(lead).plusMillis(1);
    books.price("gpu", PriceBasis.ALLOCATED, TWO_CENTS_A_SECOND, change, NOON);

    assertThat(books.prices.list(Optional.of("gpu")))
        .extracting(price -> price.endTime().orElse(Instant.MAX))
        .containsExactly(change, Instant.MAX);
    refused(
        ErrorReason.ALREADY_EXISTS,
        () -> books.price("gpu", PriceBasis.ALLOCATED, ONE_CENT_A_SECOND, change, NOON));
  }

  @Test
  @Order(4)
  void priceChangeSplitsTheSegmentAndTheHold() {
    TenantId tenant = books.tenant();
    Instant change = books.prices.list(Optional.of("gpu")).getLast().startTime();
    Instant start = change.minusSeconds(20);
    books.limit(tenant, LimitPeriod.DAY, 10_000_000_000L, start);

    SandboxId sandbox = books.run(books.wish(tenant, "gpu", 1, 512), start);

    // 20 s at one cent, 45 s at two.
    assertThat(books.quota(tenant, start).reserved()).isEqualTo(1_100_000_000);
    assertThat(books.settle(sandbox, change.plusSeconds(10)).cost().value()).isEqualTo(400_000_000);
    assertThat(books.records(tenant, sandbox))
        .extracting(CostRecord::fromTime, r -> r.amount().value())
        .containsExactly(tuple(start, 200_000_000L), tuple(change, 200_000_000L));
  }

  @Test
  @Order(5)
  void measuredPriceBillsWhatWasUsedAndHoldsTheAllocation() {
    books.price("high-memory", PriceBasis.MEASURED, rates("0", "0.001", "0.0001"), NOON, NOON);
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.DAY, 10_000_000_000L, NOON);

    SandboxId sandbox = books.run(books.wish(tenant, "high-memory", 2, 2048), NOON);

    // Held: 65 s of 2 cores and 2 GiB, and one nano-USD for rounding.
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(65 * 2_200_000L + 1);
    // 5 core-seconds, 10 GiB-seconds.
    UsageReading usage = Books.reading(5_000_000, 10 * 1024 * 1000);
    books.extend(sandbox, usage, NOON.plusSeconds(30));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(5_000_000 + 1_000_000);
    assertThat(books.settle(sandbox, Optional.of(usage), NOON.plusSeconds(40)).cost().value())
        .isEqualTo(6_000_000);
  }

  @Test
  @Order(6)
  void whatIsNotMeasuredIsBilledAsAllocatedAndNeverTwice() {
    SandboxId sandbox =
        books.run(books.wish(books.tenant(), "high-memory", 2, 2048), NOON.plusSeconds(1));
    Instant start = NOON.plusSeconds(1);
    // Memory is measured, processor time is not: 2 cores for 10 s.
    books.extend(
        sandbox,
        new UsageReading(OptionalLong.empty(), OptionalLong.of(0), OptionalLong.empty()),
        start.plusSeconds(10));
    assertThat(cost(sandbox)).isEqualTo(20_000_000);
    assertThat(sources(sandbox)).containsExactly("ALLOCATED MEASURED");

    // 15 core-seconds in all are less than the 20 that were billed.
    books.extend(sandbox, Books.reading(15_000_000, 0), start.plusSeconds(20));
    assertThat(cost(sandbox)).isEqualTo(20_000_000);
    // A counter that goes backwards is billed as nothing; one beyond the allocation as the
    // allocation.
    books.extend(sandbox, Books.reading(1, 0), start.plusSeconds(21));
    assertThat(cost(sandbox)).isEqualTo(20_000_000);
    books.extend(sandbox, Books.reading(500_000_000, 0), start.plusSeconds(22));
    assertThat(cost(sandbox)).isEqualTo(22_000_000);
    books.settle(sandbox, Optional.of(Books.reading(500_000_000, 0)), start.plusSeconds(23));
    assertThat(cost(sandbox)).isEqualTo(24_000_000);
  }

  @ParameterizedTest
  @Order(7)
  @CsvSource({
    "platinum, 0, price.tier",
    "gpu, -0.1, price.usd_per_second",
    "gpu, 1000.1, price.usd_per_second",
    "gpu, 0.0000000000000000001, price.usd_per_second"
  })
  void wrongPricesAreRefused(String tier, String usdPerSecond, String field) {
    assertThatThrownBy(() ->
            books.price(
                tier,
                PriceBasis.ALLOCATED,
                rates(usdPerSecond, "0", "0"),
                NOON.plus(Duration.ofDays(1)),
                NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.violations()).extracting("field").containsExactly(field));
  }

  @Test
  @Order(8)
  void evenTheOwnerCannotChangeAPrice() {
    for (String statement :
        List.of(
            "update price_version set usd_per_second = 9 where end_time is null",
            "update price_version set end_time = null where end_time is not null",
            "delete from price_version")) {
      assertThatThrownBy(() -> database.ownerContext().execute(statement))
          .as(statement)
          .hasMessageContaining("a price version never changes");
    }
  }

  private static long cost(SandboxId sandbox) {
    return database
        .context()
        .resultQuery("select cost_nano_usd from sandbox where sandbox_id = ?", sandbox.value())
        .fetchSingle()
        .get(0, Long.class);
  }

  private static List<String> sources(SandboxId sandbox) {
    return database
        .context()
        .resultQuery(
            "select billed_cpu_source || ' ' || billed_memory_source from usage_segment where"
                + " sandbox_id = ?",
            sandbox.value())
        .fetch(0, String.class);
  }

  private static void refused(ErrorReason reason, Runnable call) {
    assertThatThrownBy(call::run)
        .isInstanceOfSatisfying(
            SandkeeperException.class, e -> assertThat(e.reason()).isEqualTo(reason));
  }

  private static Rates rates(String second, String core, String gib) {
    return new Rates(new BigDecimal(second), new BigDecimal(core), new BigDecimal(gib));
  }
}
