package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * What keeps a sandbox from being idle. Once it was idle for too long, no use of it begins any
 * more: nothing is started in what is about to be ended.
 */
final class Activity {
  private final BillingClock clock;
  private int uses;
  private Instant idleSince;
  private boolean over;

  Activity(BillingClock clock) {
    this.clock = clock;
    this.idleSince = clock.now();
  }

  /** Begins a use, which is to be ended once; returns false when it is too late. */
  synchronized boolean begin() {
    if (!over) {
      uses++;
    }
    return !over;
  }

  /** Ends a use. */
  synchronized void end() {
    uses--;
    touch();
  }

  /** Ends a use that came to nothing, as if it had not been. */
  synchronized void abandon() {
    uses--;
  }

  /** Counts anew from now. */
  synchronized void touch() {
    idleSince = clock.now();
  }

  /**
   * Returns the soonest time at which it may have been idle for so long; empty when it has, and
   * then for good.
   */
  synchronized Optional<Instant> whenIdleFor(Duration timeout) {
    Instant now = clock.now();
    Instant time = (uses > 0 ? now : idleSince).plus(timeout);
    over |= !now.isBefore(time);
    return over ? Optional.empty() : Optional.of(time);
  }
}
