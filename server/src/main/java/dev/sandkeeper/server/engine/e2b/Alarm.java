package dev.sandkeeper.server.engine.e2b;

import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Something that is to be done at one moment, which can be put off; done on a thread of its own.
 */
final class Alarm {
  private final ScheduledExecutorService timer;
  private final String name;

  // Guarded by this.
  private @Nullable Future<?> next;

  Alarm(ScheduledExecutorService timer, String name) {
    this.timer = timer;
    this.name = name;
  }

  /** Has it done after this time, instead of when it was to be done. */
  synchronized void in(Duration time, Runnable work) {
    cancel();
    try {
      next =
          timer.schedule(
              () -> Thread.ofVirtual().name(name).start(work),
              Math.max(1, time.toNanos()),
              TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException e) {
      // The engine is being closed, and lets go of all sandboxes.
      next = null;
    }
  }

  /** Does not have it done, unless it has begun. */
  synchronized void cancel() {
    if (next != null) {
      next.cancel(false);
      next = null;
    }
  }
}
