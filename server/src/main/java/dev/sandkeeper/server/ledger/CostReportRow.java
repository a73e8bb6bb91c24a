package dev.sandkeeper.server.ledger;

import java.time.Instant;
import java.util.Map;

/**
 * The sum of some cost records.
 *
 * @param startTime where its bucket starts
 * @param groups what they have in common; without those that they have none of
 * @param amount the sum; negative where credits exceed the rest
 * @param recordCount how many they are
 */
public record CostReportRow(
    Instant startTime, Map<GroupBy, String> groups, NanoUsd amount, long recordCount) {
  /** Copies the groups. */
  public CostReportRow {
    groups = Map.copyOf(groups);
  }
}
