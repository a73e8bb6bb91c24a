package dev.sandkeeper.bench;

import java.io.IOException;

/** Takes the time. */
final class Timing {
  static final double NANOS_PER_SECOND = 1e9;
  private static final double NANOS_PER_MILLI = 1e6;

  private Timing() {}

  /** What is timed. */
  @FunctionalInterface
  interface Action {
    void run() throws IOException, InterruptedException;
  }

  /** Returns how long an action takes, in milliseconds. */
  static double millis(Action action) throws IOException, InterruptedException {
    long start = System.nanoTime();
    action.run();
    return millisSince(start);
  }

  /** Returns the milliseconds since a reading of {@link System#nanoTime}. */
  static double millisSince(long startNanos) {
    return (System.nanoTime() - startNanos) / NANOS_PER_MILLI;
  }

  /** Returns the seconds since a reading of {@link System#nanoTime}. */
  static double secondsSince(long startNanos) {
    return (System.nanoTime() - startNanos) / NANOS_PER_SECOND;
  }
}
