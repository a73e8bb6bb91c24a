package dev.sandkeeper.server.alert;

import java.time.Duration;
import java.util.random.RandomGenerator;

/**
 * How long to leave alone what failed: from 1 second, doubling with each failure in a row, to 1
 * hour; of each, the upper half is left to chance, so that what failed together does not come back
 * together.
 */
final class Backoff {
  private static final Duration SHORTEST = Duration.ofSeconds(1);
  private static final Duration LONGEST = Duration.ofHours(1);

  /** From here on it is the longest: 2^12 seconds are more than an hour. */
  private static final int LAST_STEP = 12;

  private final RandomGenerator random;

  Backoff(RandomGenerator random) {
    this.random = random;
  }

  /**
   * Returns the wait.
   *
   * @param failures how many there were in a row, 1 or more
   */
  Duration after(int failures) {
    long full =
        Math.min(SHORTEST.toMillis() << Math.min(failures - 1, LAST_STEP), LONGEST.toMillis());
    return Duration.ofMillis(full / 2 + random.nextLong(full / 2 + 1));
  }
}
