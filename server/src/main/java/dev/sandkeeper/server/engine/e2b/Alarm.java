package dev.sandkeeper.server.engine.e2b;

import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Something that is to be done at one moment, which can be put off; done on a thread of its own.
 * When it fails it is done again: a sandbox that nobody looks after any more would be lost.
 */
final class Alarm {
  private static final Logger logger = LoggerFactory.getLogger(Alarm.class);
  private static final Duration AGAIN = Duration.ofSeconds(5);

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
              () -> Thread.ofVirtual().name(name).start(() -> run(work)),
              Math.max(1, time.toNanos()),
              TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException e) {
      // The engine is being closed, and lets go of all sandboxes.
      next = null;
    }
  }

  private void run(Runnable work) {
    try {
      work.run();
    } catch (RuntimeException e) {
      logger.atWarn().addKeyValue("alarm", name).setCause(e).log("It failed, and is done again");
      in(AGAIN, work);
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
