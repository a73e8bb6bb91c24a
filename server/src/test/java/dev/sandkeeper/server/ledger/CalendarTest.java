package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.jooq.tables.QuotaPeriod;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.math.BigDecimal;
import java.time.DayOfWeek;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.temporal.ChronoUnit;
import java.time.temporal.TemporalAdjusters;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: what runs over the edges of the calendar is billed once, and in the periods it ran in.
// Method: the clock is simulated, renewal by renewal; the oracle counts seconds with java.time.
final class CalendarTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final long NANO_USD_PER_SECOND = 30_250;
  private static final Duration RENEWAL = Duration.ofSeconds(30);
  private static final long PLENTY = 1_000_000_000_000L;

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    // Clocks go forward: a day of 23 hours, and one that begins an hour late.
    "America/New_York, 2026-03-08T01:30:07",
    "America/Havana, 2026-03-07T23:30:07",
    // And back: a day of 25 hours, and one whose midnight comes twice.
    "Europe/Berlin, 2026-10-25T01:30:07",
    "America/Havana, 2026-10-31T23:30:07",
    // Half an hour of daylight saving.
    "Australia/Lord_Howe, 2026-04-05T00:30:07",
    // A leap day's both ends, and the end of a February without one.
    "UTC, 2028-02-28T23:30:07",
    "UTC, 2028-02-29T23:30:07",
    "UTC, 2027-02-28T23:30:07",
    // A year's end, at half past an hour of UTC.
    "Asia/Kolkata, 2026-12-31T23:30:07",
  })
  void everySecondIsBilledInThePeriodsItBelongsTo(ZoneId zone, LocalDateTime local) {
    Instant start = local.atZone(zone).toInstant();
    Instant end = start.plus(Duration.ofMinutes(100));
    List<LimitPeriod> periods =
        List.of(LimitPeriod.HOUR, LimitPeriod.DAY, LimitPeriod.WEEK, LimitPeriod.MONTH);
    periods.forEach(period -> limit(period, zone, PLENTY, start));

    SandboxId sandbox = run("standard", start, end);
    Settlement settlement = books.settle(sandbox, end);

    assertThat(settlement.cost().value()).isEqualTo(100 * 60 * NANO_USD_PER_SECOND);
    for (LimitPeriod period : periods) {
      assertThat(spent(period)).as(period.name()).isEqualTo(expected(period, zone, start, end));
    }
  }

  @Test
  void priceAndLimitChangeInTheMiddleOfARunOverAMonthsEnd() {
    Instant start = Instant.parse("2026-04-30T23:50:00Z");
    Instant change = Instant.parse("2026-04-30T23:55:00Z");
    books.price("gpu", PriceBasis.ALLOCATED, perSecond("0.001"), start, start);
    books.price("gpu", PriceBasis.ALLOCATED, perSecond("0.002"), change, start);
    limit(LimitPeriod.MONTH, ZoneId.of("UTC"), PLENTY, start);

    // 300 s at one price and 300 s at the other in April, and 120 s in May.
    Instant lowered = Instant.parse("2026-05-01T00:02:00Z");
    SandboxId sandbox = run("gpu", start, lowered);
    limit(LimitPeriod.MONTH, ZoneId.of("UTC"), 1, lowered);
    Extension refused = books.extend(sandbox, lowered);
    Instant end = lowered.plusSeconds(20);
    Settlement settlement = books.settle(sandbox, end);

    assertThat(refused).isInstanceOf(Extension.Refused.class);
    assertThat(settlement.cost().value()).isEqualTo(1_000_000L * (300 + 2 * 300 + 2 * 140));
    assertThat(spent(LimitPeriod.MONTH))
        .isEqualTo(
            Map.of(
                Instant.parse("2026-04-01T00:00:00Z"), 900_000_000L,
                Instant.parse("2026-05-01T00:00:00Z"), 280_000_000L));
    assertThat(books.quota(tenant, end).reserved()).isZero();
  }

  /** Admits, starts and renews until then. */
  private SandboxId run(String tier, Instant start, Instant until) {
    SandboxId sandbox =
        books.run(books.wish(tenant, tier, 2, 512).withTimeout(Duration.ofHours(3)), start);
    for (Instant now = start.plus(RENEWAL); now.isBefore(until); now = now.plus(RENEWAL)) {
      assertThat(books.extend(sandbox, now)).isInstanceOf(Extension.Renewed.class);
    }
    return sandbox;
  }

  private void limit(LimitPeriod period, ZoneId zone, long nanoUsd, Instant now) {
    books.limit(
        new LimitSpec(
            tenant,
            LimitScope.TENANT,
            "",
            LimitResource.ALL_SPEND,
            period,
            zone.getId(),
            LimitEnforcement.HARD,
            nanoUsd,
            List.of()),
        now);
  }

  /** Returns what was spent in each period in which anything was, by its start. */
  private Map<Instant, Long> spent(LimitPeriod period) {
    long limitId =
        books.limits(tenant).stream()
            .filter(limit -> limit.spec().period() == period)
            .mapToLong(limit -> Long.parseLong(limit.limitId()))
            .findFirst()
            .orElseThrow();
    QuotaPeriod table = QuotaPeriod.QUOTA_PERIOD;
    return books
        .transactions
        .context()
        .selectFrom(table)
        .where(table.LIMIT_ID.eq(limitId), table.SPENT.gt(0L))
        .fetchMap(table.PERIOD_START, table.SPENT);
  }

  private static Map<Instant, Long> expected(
      LimitPeriod period, ZoneId zone, Instant start, Instant end) {
    return Stream.iterate(start, at -> at.isBefore(end), at -> at.plusSeconds(1))
        .collect(
            Collectors.groupingBy(
                at -> periodStart(period, at.atZone(zone)),
                TreeMap::new,
                Collectors.summingLong(_ -> NANO_USD_PER_SECOND)));
  }

  private static Instant periodStart(LimitPeriod period, ZonedDateTime at) {
    LocalDate day = at.toLocalDate();
    Instant midnight = day.atStartOfDay(at.getZone()).toInstant();
    return switch (period) {
      case HOUR ->
          midnight.plus(Duration.between(midnight, at.toInstant()).truncatedTo(ChronoUnit.HOURS));
      case DAY -> midnight;
      case WEEK ->
          day.with(TemporalAdjusters.previousOrSame(DayOfWeek.MONDAY))
              .atStartOfDay(at.getZone())
              .toInstant();
      case MONTH -> day.withDayOfMonth(1).atStartOfDay(at.getZone()).toInstant();
      case MINUTE, LIFETIME -> throw new IllegalArgumentException(period.name());
    };
  }

  private static Rates perSecond(String usd) {
    return new Rates(new BigDecimal(usd), BigDecimal.ZERO, BigDecimal.ZERO);
  }
}
