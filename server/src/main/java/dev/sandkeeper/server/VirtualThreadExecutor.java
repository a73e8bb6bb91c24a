package dev.sandkeeper.server;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Runs every task on a virtual thread of its own, also a delayed one; one platform thread only
 * watches the time.
 *
 * <p>A scheduled pool of one virtual thread would run all calls one after the other. What repeats
 * itself runs on the one platform thread, so it must not block; a task that blocks schedules its
 * own next run.
 */
final class VirtualThreadExecutor extends ScheduledThreadPoolExecutor {
  private static final Duration CLOSE_GRACE = Duration.ofSeconds(5);

  private final ExecutorService workers =
      Executors.newThreadPerTaskExecutor(Thread.ofVirtual().name("worker-", 0).factory());

  VirtualThreadExecutor() {
    super(1, Thread.ofPlatform().daemon().name("timer").factory());
    setRemoveOnCancelPolicy(true);
    setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
  }

  @Override
  public void execute(Runnable command) {
    workers.execute(command);
  }

  @Override
  public Future<?> submit(Runnable task) {
    return workers.submit(task);
  }

  @Override
  public <T extends @Nullable Object> Future<T> submit(Runnable task, T result) {
    return workers.submit(task, result);
  }

  @Override
  public <T extends @Nullable Object> Future<T> submit(Callable<T> task) {
    return workers.submit(task);
  }

  @Override
  public ScheduledFuture<?> schedule(Runnable command, long delay, TimeUnit unit) {
    return super.schedule(() -> workers.execute(command), delay, unit);
  }

  @Override
  public void shutdown() {
    super.shutdown();
    workers.shutdown();
  }

  /** Drops what is not due yet, and waits a moment for what runs before it is interrupted. */
  @Override
  public void close() {
    shutdown();
    try {
      if (!workers.awaitTermination(CLOSE_GRACE.toMillis(), TimeUnit.MILLISECONDS)) {
        workers.shutdownNow();
      }
    } catch (InterruptedException e) {
      workers.shutdownNow();
      Thread.currentThread().interrupt();
    }
  }
}
