package dev.sandkeeper.server.ledger;

import java.time.Instant;
import java.util.Optional;

/**
 * What is left of a limit in its present period, in its resource's unit.
 *
 * @param limit the limit
 * @param spent used for good in the period
 * @param reserved held for what runs
 * @param periodStart when the period began; empty for LIFETIME
 * @param resetTime when the next one begins; empty for LIFETIME
 */
public record QuotaStatus(
    Limit limit,
    long spent,
    long reserved,
    Optional<Instant> periodStart,
    Optional<Instant> resetTime) {

  /** Returns what is left: never negative, zero where the limit is used up or was lowered. */
  public long remaining() {
    return Math.max(0, limit.spec().amount() - spent - reserved);
  }
}
