package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.time.zone.ZoneOffsetTransition;
import java.time.zone.ZoneRules;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Which cost records are summed, and by what.
 *
 * @param tenantId whose; empty for all
 * @param agentId only of this agent's; empty for all
 * @param fromTime only spans that start then or later; a full hour
 * @param toTime only spans that start earlier; a full hour
 * @param groupBy what a row is of
 * @param bucketStarts where the spans of time begin into which rows are divided, the first with the
 *     range
 */
public record CostReportQuery(
    Optional<TenantId> tenantId,
    Optional<String> agentId,
    Instant fromTime,
    Instant toTime,
    Set<GroupBy> groupBy,
    List<Instant> bucketStarts) {
  private static final Duration LONGEST = Duration.ofDays(366);
  private static final int SECONDS_PER_HOUR = 3600;

  /** Copies the collections. */
  public CostReportQuery {
    groupBy = Set.copyOf(groupBy);
    bucketStarts = List.copyOf(bucketStarts);
  }

  /**
   * Makes a query, of whatever is asked for.
   *
   * @param zone the IANA zone in which days and months begin; empty for UTC
   * @throws SandkeeperException {@code INVALID_FIELD} for a range or a zone that sums by the hour
   *     do not answer
   */
  public static CostReportQuery of(
      Optional<TenantId> tenantId,
      Optional<String> agentId,
      Instant fromTime,
      Instant toTime,
      Set<GroupBy> groupBy,
      TimeBucket bucket,
      Optional<String> zone) {
    requireHour("start_time", fromTime);
    requireHour("end_time", toTime);
    Duration range = Duration.between(fromTime, toTime);
    if (!range.isPositive() || range.compareTo(LONGEST) > 0) {
      throw SandkeeperException.invalidField(
          "end_time", toTime + " (expected: after start_time, by 366 days at most)");
    }
    return new CostReportQuery(
        tenantId,
        agentId,
        fromTime,
        toTime,
        groupBy,
        bucket.starts(fromTime, toTime, zone(zone, bucket, fromTime, toTime)));
  }

  private static void requireHour(String field, Instant time) {
    if (!time.equals(time.truncatedTo(ChronoUnit.HOURS))) {
      throw SandkeeperException.invalidField(field, time + " (expected: a full hour of UTC)");
    }
  }

  private static ZoneId zone(Optional<String> name, TimeBucket bucket, Instant from, Instant to) {
    if (name.isEmpty()) {
      return ZoneOffset.UTC;
    }
    if (bucket != TimeBucket.DAY && bucket != TimeBucket.MONTH) {
      throw wrongZone(name.get(), "none, but with days or months");
    }
    if (!ZoneId.getAvailableZoneIds().contains(name.get())) {
      throw wrongZone(name.get(), "the name of an IANA time zone");
    }
    ZoneId zone = ZoneId.of(name.get());
    ZoneRules rules = zone.getRules();
    boolean whole = isWhole(rules.getOffset(from));
    @Nullable ZoneOffsetTransition change = rules.nextTransition(from);
    while (change != null && change.getInstant().isBefore(to)) {
      whole &= isWhole(change.getOffsetAfter());
      change = rules.nextTransition(change.getInstant());
    }
    if (!whole) {
      throw wrongZone(name.get(), "one whose offset from UTC is whole hours in all of the range");
    }
    return zone;
  }

  private static boolean isWhole(ZoneOffset offset) {
    return offset.getTotalSeconds() % SECONDS_PER_HOUR == 0;
  }

  private static SandkeeperException wrongZone(String name, String expected) {
    return SandkeeperException.invalidField("zone", name + " (expected: " + expected + ")");
  }
}
