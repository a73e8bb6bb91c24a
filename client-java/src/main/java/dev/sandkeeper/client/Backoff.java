package dev.sandkeeper.client;

import java.time.Duration;
import java.util.Optional;
import java.util.random.RandomGenerator;

/**
 * How long to wait before each next try: doubling from the shortest to the longest, of which the
 * upper half is left to chance, so that clients who failed together do not come back together.
 */
final class Backoff {
  private final Duration shortest;
  private final Duration longest;
  private final RandomGenerator random;
  private Duration step;

  Backoff(Duration shortest, Duration longest, RandomGenerator random) {
    this.shortest = shortest;
    this.longest = longest;
    this.random = random;
    this.step = shortest;
  }

  /**
   * Returns the next wait.
   *
   * @param asked what the server asked for, which is never undercut
   */
  Duration next(Optional<Duration> asked) {
    long half = step.toNanos() / 2;
    Duration wait = Duration.ofNanos(half + random.nextLong(half + 1));
    Duration doubled = step.multipliedBy(2);
    step = doubled.compareTo(longest) < 0 ? doubled : longest;
    return asked.filter(least -> least.compareTo(wait) > 0).orElse(wait);
  }

  /** Begins anew at the shortest. */
  void reset() {
    step = shortest;
  }
}
