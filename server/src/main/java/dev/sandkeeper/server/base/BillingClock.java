package dev.sandkeeper.server.base;

import java.time.Instant;

/**
 * The clock that bills: the database's time, read once and carried on by this process's monotonic
 * clock.
 *
 * <p>Two hosts' clocks are never subtracted from each other, and a wall clock that is stepped moves
 * no bill. Everything that reaches the ledger takes its time from here.
 */
public interface BillingClock {
  /**
   * Returns the present billing time, in microseconds' resolution (what the database keeps); never
   * earlier than an instant returned before.
   */
  Instant now();
}
