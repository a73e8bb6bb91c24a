package dev.sandkeeper.bench;

/** Units of time. */
final class Timing {
  static final double NANOS_PER_MILLI = 1e6;
  static final double NANOS_PER_SECOND = 1e9;

  private Timing() {}

  /** Returns the milliseconds since a reading of {@link System#nanoTime}. */
  static double millisSince(long startNanos) {
    return (System.nanoTime() - startNanos) / NANOS_PER_MILLI;
  }

  /** Returns the seconds since a reading of {@link System#nanoTime}. */
  static double secondsSince(long startNanos) {
    return (System.nanoTime() - startNanos) / NANOS_PER_SECOND;
  }
}
