package dev.sandkeeper.server.engine.e2b;

import io.github.resilience4j.retry.Retry;
import io.github.resilience4j.retry.RetryConfig;
import java.time.Duration;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.random.RandomGenerator;

/** One call with all its tries, and the time that it has for them. */
final class Retries {
  private final E2bSettings.Calls calls;
  private final RandomGenerator random;
  private final long deadlineNanos;
  private int failures;
  private boolean mayBeDone;
  private Duration wait = Duration.ZERO;

  /**
   * Begins the call's time.
   *
   * @param whole how long it may take in all
   */
  Retries(E2bSettings.Calls calls, Duration whole, RandomGenerator random) {
    this.calls = calls;
    this.random = random;
    this.deadlineNanos = System.nanoTime() + whole.toNanos();
  }

  /**
   * Tries until it is done, or trying again is not safe, not allowed any more, or too late.
   *
   * @param attempt one try, told how long it may take
   * @param safe whether what failed so may be tried again
   * @throws E2bException of the last try; it may be done if any of them may have done it
   */
  <T> T run(String what, Function<Duration, T> attempt, Predicate<E2bException> safe) {
    RetryConfig config =
        RetryConfig.custom()
            .maxAttempts(calls.tries())
            .retryOnException(e -> e instanceof E2bException failure && again(failure, safe))
            .intervalBiFunction((_, _) -> wait.toMillis())
            .build();
    try {
      return Retry.of(what, config).executeSupplier(() -> attempt.apply(left()));
    } catch (E2bException e) {
      throw mayBeDone ? e.mayBeDoneAfterAll() : e;
    }
  }

  private Duration left() {
    Duration left = Duration.ofNanos(deadlineNanos - System.nanoTime());
    Duration least = Duration.ofMillis(1);
    Duration most = left.compareTo(calls.request()) < 0 ? left : calls.request();
    return most.compareTo(least) < 0 ? least : most;
  }

  private boolean again(E2bException failure, Predicate<E2bException> safe) {
    failures++;
    mayBeDone |= failure.mayBeDone();
    wait = failure.retryAfter().orElseGet(this::backoff);
    return safe.test(failure)
        && !Thread.currentThread().isInterrupted()
        && System.nanoTime() + wait.toNanos() < deadlineNanos;
  }

  /** From all of it to twice as much, so that what failed together does not come back together. */
  private Duration backoff() {
    long wait = calls.firstWait().toMillis() << Math.min(failures - 1, 16);
    long longest = calls.longestWait().toMillis();
    return Duration.ofMillis(Math.min(wait + random.nextLong(wait + 1), longest));
  }
}
