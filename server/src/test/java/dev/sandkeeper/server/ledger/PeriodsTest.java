package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Instant;
import java.util.List;
import java.util.Random;
import org.jooq.Record;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: every instant is in just one period of a kind and zone, whatever clocks do there.
final class PeriodsTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  @ParameterizedTest
  @CsvSource({
    // Set forward: the day has 23 hours; set back: 25.
    "DAY, Europe/Berlin, 2026-03-29T10:00:00Z, 2026-03-28T23:00:00Z, 2026-03-29T22:00:00Z",
    "DAY, Europe/Berlin, 2026-10-25T10:00:00Z, 2026-10-24T22:00:00Z, 2026-10-25T23:00:00Z",
    // Midnight comes twice: the first one counts, also for what happens between the two.
    "DAY, America/Havana, 2026-11-01T04:30:00Z, 2026-11-01T04:00:00Z, 2026-11-02T05:00:00Z",
    "DAY, America/Havana, 2026-11-01T05:30:00Z, 2026-11-01T04:00:00Z, 2026-11-02T05:00:00Z",
    // Midnight is skipped: the day begins with the skip.
    "DAY, Africa/Cairo, 2026-04-24T12:00:00Z, 2026-04-23T22:00:00Z, 2026-04-24T21:00:00Z",
    "MONTH, America/New_York, 2028-02-29T12:00:00Z, 2028-02-01T05:00:00Z, 2028-03-01T05:00:00Z",
    "MONTH, America/New_York, 2026-03-31T23:00:00Z, 2026-03-01T05:00:00Z, 2026-04-01T04:00:00Z",
    "WEEK, Asia/Kathmandu, 2026-03-15T18:14:59Z, 2026-03-08T18:15:00Z, 2026-03-15T18:15:00Z",
    "WEEK, UTC, 2026-03-15T18:14:59Z, 2026-03-09T00:00:00Z, 2026-03-16T00:00:00Z",
    "HOUR, Asia/Kolkata, 2026-03-15T18:14:59Z, 2026-03-15T17:30:00Z, 2026-03-15T18:30:00Z",
    // The hour that comes twice is two hours; where clocks change by half an hour, the day's last
    // is short.
    "HOUR, Europe/Berlin, 2026-10-25T01:10:00Z, 2026-10-25T01:00:00Z, 2026-10-25T02:00:00Z",
    "HOUR, Australia/Lord_Howe, 2026-04-05T13:10:00Z, 2026-04-05T13:00:00Z, 2026-04-05T13:30:00Z",
    "MINUTE, Asia/Kathmandu, 2026-03-15T18:14:59Z, 2026-03-15T18:14:00Z, 2026-03-15T18:15:00Z",
  })
  void holdsItsInstant(String period, String zone, Instant at, Instant start, Instant end) {
    assertThat(period(period, zone, at)).containsExactly(start, end);
    assertThat(period(period, zone, end).getFirst()).isEqualTo(end);
    assertThat(period(period, zone, start.minusMillis(1)).getLast()).isEqualTo(start);
  }

  @Test
  void periodsOfEveryZoneFollowEachOtherAndBeginAtQuartersOfAnHour() {
    long seed = new Random().nextLong();
    // Around changes of clocks and anywhere, of this and the next years.
    List<String> broken =
        database
            .context()
            .resultQuery(
                """
                with zones as (
                  select name as zone from pg_timezone_names
                  where name like '%/%' and name not like 'posix/%' and name not like 'right/%'
                ), instants as (
                  select zone, timestamptz '2026-01-01 00:00:00+00'
                    + make_interval(hours => (abs(hashint8extended(i, ?)) % 35000)::int, mins => (i % 60)::int) as at
                  from zones cross join generate_series(1, 60) as i
                )
                select format('%s %s %s: %s to %s', p.period, zone, at, s, e)
                from instants
                cross join (values ('HOUR'), ('DAY'), ('WEEK'), ('MONTH')) as p (period)
                cross join lateral (select ledger_period_start(p.period, zone, at) as s) as a
                cross join lateral (select ledger_period_end(p.period, zone, s) as e) as b
                where not (s <= at and at < e)
                  or ledger_period_start(p.period, zone, e) <> e
                  or ledger_period_start(p.period, zone, s) <> s
                  or ledger_period_end(p.period, zone, ledger_period_start(p.period, zone, s - interval '1 ms')) <> s
                  or s <> date_bin('15 minutes', s, '1970-01-01 00:00:00+00')
                limit 10
                """,
                seed)
            .fetch(0, String.class);

    assertThat(broken).as("seed %s", seed).isEmpty();
  }

  private static List<Instant> period(String period, String zone, Instant at) {
    Record row =
        database
            .context()
            .resultQuery(
                "select s, ledger_period_end(?, ?, s) as e from ledger_period_start(?, ?,"
                    + " ?::timestamptz) as s",
                period,
                zone,
                period,
                zone,
                at.toString())
            .fetchSingle();
    return List.of(row.get("s", Instant.class), row.get("e", Instant.class));
  }
}
