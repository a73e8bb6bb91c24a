package dev.sandkeeper.server.engine;

import java.util.OptionalLong;

/**
 * Cumulative usage of a sandbox since it was created. What could not be measured is absent, never
 * zero.
 *
 * @param cpuMicros processor time in microseconds, never decreasing
 * @param memoryMibMillis memory in use integrated over time, in MiB-milliseconds, never decreasing
 * @param peakMemoryBytes the most memory in use at once, in bytes
 */
public record UsageReading(
    OptionalLong cpuMicros, OptionalLong memoryMibMillis, OptionalLong peakMemoryBytes) {

  /** Nothing could be measured. */
  public static final UsageReading NOTHING =
      new UsageReading(OptionalLong.empty(), OptionalLong.empty(), OptionalLong.empty());

  public UsageReading {
    notNegative("cpuMicros", cpuMicros);
    notNegative("memoryMibMillis", memoryMibMillis);
    notNegative("peakMemoryBytes", peakMemoryBytes);
  }

  private static void notNegative(String name, OptionalLong value) {
    if (value.isPresent() && value.getAsLong() < 0) {
      throw new IllegalArgumentException(name + ": " + value.getAsLong() + " (expected: >= 0)");
    }
  }
}
