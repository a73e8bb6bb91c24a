package dev.sandkeeper.server.ledger;

import java.time.Instant;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;

/** Spans of time into which a cost report is divided. */
public enum TimeBucket {
  /** One span, the range. */
  RANGE,
  /** Full hours of UTC. */
  HOUR,
  /** Days of a zone's clocks. */
  DAY,
  /** Months of a zone's clocks. */
  MONTH;

  /**
   * Returns where the buckets of a range start: the first with the range, each other where it
   * begins by the clocks of the zone.
   */
  List<Instant> starts(Instant from, Instant to, ZoneId zone) {
    List<Instant> starts = new ArrayList<>(List.of(from));
    ZonedDateTime start = from.atZone(zone);
    Instant next = next(start);
    while (this != RANGE && next.isBefore(to)) {
      starts.add(next);
      next = next(next.atZone(zone));
    }
    return starts;
  }

  private Instant next(ZonedDateTime time) {
    return switch (this) {
      case RANGE -> Instant.MAX;
      case HOUR -> time.toInstant().truncatedTo(ChronoUnit.HOURS).plus(1, ChronoUnit.HOURS);
      case DAY -> time.toLocalDate().plusDays(1).atStartOfDay(time.getZone()).toInstant();
      case MONTH ->
          time.toLocalDate()
              .withDayOfMonth(1)
              .plusMonths(1)
              .atStartOfDay(time.getZone())
              .toInstant();
    };
  }
}
