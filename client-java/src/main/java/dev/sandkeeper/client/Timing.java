package dev.sandkeeper.client;

import java.time.Duration;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;

/**
 * The clock and the chance by which retries go.
 *
 * @param nanoTime a monotonic clock, in nanoseconds from any start
 * @param random safe for use by many threads
 */
record Timing(LongSupplier nanoTime, Sleeper sleeper, Scheduler scheduler, RandomGenerator random) {
  /** Waits on the calling thread. */
  @FunctionalInterface
  interface Sleeper {
    void sleep(Duration wait) throws InterruptedException;
  }

  /** Runs something later, on another thread. */
  @FunctionalInterface
  interface Scheduler {
    void runAfter(Duration wait, Runnable task);
  }

  /** Returns the machine's own. */
  static Timing system() {
    return new Timing(
        System::nanoTime,
        wait -> TimeUnit.NANOSECONDS.sleep(wait.toNanos()),
        (wait, task) ->
            CompletableFuture.delayedExecutor(wait.toNanos(), TimeUnit.NANOSECONDS).execute(task),
        new Random());
  }
}
