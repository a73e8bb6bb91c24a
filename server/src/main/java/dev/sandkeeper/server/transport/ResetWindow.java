package dev.sandkeeper.server.transport;

import java.time.Duration;
import java.util.function.LongSupplier;

/** Counts the streams that are reset on one connection, in windows of time. */
final class ResetWindow {
  /** How many streams may be reset, by either side, in a window of this length. */
  static final int MAX_RESETS = 1_000;

  static final Duration LENGTH = Duration.ofSeconds(10);

  private final LongSupplier nanoTime;
  private long start;
  private int count;

  ResetWindow(LongSupplier nanoTime) {
    this.nanoTime = nanoTime;
    this.start = nanoTime.getAsLong();
  }

  /** Counts one, and says whether it is still within the bound. */
  boolean allowsOneMore() {
    long now = nanoTime.getAsLong();
    if (now - start >= LENGTH.toNanos()) {
      start = now;
      count = 0;
    }
    count++;
    return count <= MAX_RESETS;
  }
}
