package dev.sandkeeper.client;

import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Runs the callbacks of a call on the thread that reads its messages, while that thread waits for
 * them: one hop from the network to the reader, and no thread of its own.
 *
 * <p>Once abandoned it runs what comes where it comes from. A callback that never ran would keep
 * its buffers for ever.
 */
final class CallerExecutor implements Executor {
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();

  /** Guarded by the lock. */
  private final ArrayDeque<Runnable> tasks = new ArrayDeque<>();

  /** Guarded by the lock. */
  private boolean abandoned;

  @Override
  public void execute(Runnable task) {
    lock.lock();
    try {
      if (!abandoned) {
        tasks.add(task);
        changed.signal();
        return;
      }
    } finally {
      lock.unlock();
    }
    task.run();
  }

  /**
   * Waits for a task and runs it.
   *
   * @return false when the executor was abandoned and nothing will come
   */
  boolean runNext() throws InterruptedException {
    Runnable task;
    lock.lockInterruptibly();
    try {
      while (tasks.isEmpty() && !abandoned) {
        changed.await();
      }
      if (abandoned) {
        return false;
      }
      task = tasks.remove();
    } finally {
      lock.unlock();
    }
    task.run();
    return true;
  }

  /** Stops waiting for a reader. */
  void abandon() {
    List<Runnable> rest;
    lock.lock();
    try {
      abandoned = true;
      rest = List.copyOf(tasks);
      tasks.clear();
      changed.signalAll();
    } finally {
      lock.unlock();
    }
    rest.forEach(Runnable::run);
  }
}
