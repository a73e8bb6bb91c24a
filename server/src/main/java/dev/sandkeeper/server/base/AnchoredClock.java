package dev.sandkeeper.server.base;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.function.LongSupplier;

/** A {@link BillingClock} anchored to one reading of the database's clock. */
public final class AnchoredClock implements BillingClock {
  private final Instant anchor;
  private final long anchorNanos;
  private final LongSupplier nanoTime;

  /**
   * Anchors the clock.
   *
   * @param databaseTime the database's {@code now()}, read just before this call
   * @param nanoTime the monotonic clock, in nanoseconds, usually {@code System::nanoTime}
   */
  public AnchoredClock(Instant databaseTime, LongSupplier nanoTime) {
    this.anchor = databaseTime;
    this.nanoTime = nanoTime;
    this.anchorNanos = nanoTime.getAsLong();
  }

  @Override
  public Instant now() {
    return anchor.plusNanos(nanoTime.getAsLong() - anchorNanos).truncatedTo(ChronoUnit.MICROS);
  }
}
