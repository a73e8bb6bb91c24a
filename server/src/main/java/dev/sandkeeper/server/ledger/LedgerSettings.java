package dev.sandkeeper.server.ledger;

import java.time.Duration;

/**
 * How far ahead running sandboxes pay.
 *
 * @param lease the time a sandbox pays for at once, greater than zero, in whole milliseconds
 * @param stopTime the time paid on top of every lease, to stop in; not negative, in whole
 *     milliseconds
 */
public record LedgerSettings(Duration lease, Duration stopTime) {
  /** On top of what may be held already: transactions that are still under way. */
  private static final Duration PRICE_MARGIN = Duration.ofMinutes(1);

  /** Checks both. */
  public LedgerSettings {
    if (lease.toMillis() < 1) {
      throw new IllegalArgumentException("lease: " + lease + " (expected: at least PT0.001S)");
    }
    if (stopTime.isNegative()) {
      throw new IllegalArgumentException("stopTime: " + stopTime + " (expected: not negative)");
    }
  }

  /**
   * Returns how far ahead a new price must start, so that no hold was computed with the old one for
   * a time in which the new one is in force.
   */
  Duration priceLead() {
    return lease.plus(stopTime).plus(PRICE_MARGIN);
  }
}
