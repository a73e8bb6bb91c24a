package dev.sandkeeper.server.engine;

import java.time.Duration;
import java.time.Instant;

/**
 * What an engine itself has on record of a sandbox that ended.
 *
 * @param ran how long it ran, pauses left out
 * @param startTime when it was first started, by the engine's clock
 * @param endTime when it ended, by the engine's clock
 */
public record EngineRecord(Duration ran, Instant startTime, Instant endTime) {
  /** Checks that the times can be. */
  public EngineRecord {
    if (ran.isNegative()) {
      throw new IllegalArgumentException("ran: " + ran + " (expected: not negative)");
    }
    if (endTime.isBefore(startTime)) {
      throw new IllegalArgumentException(
          "endTime: " + endTime + " (expected: not before " + startTime + ")");
    }
  }
}
