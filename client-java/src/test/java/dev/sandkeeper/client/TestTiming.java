package dev.sandkeeper.client;

import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;

/** A clock that only waiting moves on, and that never really waits. */
final class TestTiming {
  private final AtomicLong now = new AtomicLong(-5);
  private final List<Duration> waits = new CopyOnWriteArrayList<>();

  /** Returns the timing to give to a client. */
  Timing timing() {
    return new Timing(
        now::get,
        this::pass,
        (wait, task) -> {
          pass(wait);
          task.run();
        },
        new Random(1));
  }

  /** Returns what was waited for, in order. */
  List<Duration> waits() {
    return waits;
  }

  private void pass(Duration wait) {
    waits.add(wait);
    now.addAndGet(wait.toNanos());
  }
}
