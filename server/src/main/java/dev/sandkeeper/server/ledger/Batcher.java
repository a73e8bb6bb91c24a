package dev.sandkeeper.server.ledger;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Decides together what is asked for at once: one batch is in flight, and while it is, the next one
 * collects. One hot counter's row is locked until its commit is on disk; this way a commit carries
 * many decisions instead of one. Only where many wait, a second one goes beside it: it does all but
 * that row's part at the same time.
 *
 * <p>Whoever asks while nothing is in flight decides at once, alone, on its own thread; so an idle
 * system adds no delay. Among many callers a batch gathers for a moment: those that the last one
 * answered mostly ask again at once, and would else make a second batch that takes turns with this
 * one, each half as large.
 *
 * @param <I> what is asked
 * @param <O> the answer
 */
final class Batcher<I, O> {
  /** More would only make each wait longer; by then the commit is a small part. */
  static final int MAX_SIZE = 64;

  /** With fewer, what each batch takes by itself outweighs that two go at once. */
  static final int ENOUGH_FOR_A_SECOND = 32;

  /** A small part of what a batch takes; whoever comes back comes sooner. */
  private static final long LONGEST_GATHERING_NANOS = TimeUnit.MICROSECONDS.toNanos(300);

  private static final long GATHERING_STEP_NANOS = TimeUnit.MICROSECONDS.toNanos(20);

  private final Function<List<I>, List<O>> decide;
  private final ConcurrentLinkedQueue<Entry<I, O>> waiting = new ConcurrentLinkedQueue<>();
  private final AtomicInteger inFlight = new AtomicInteger();

  /** About how many are expected in the next batch. */
  private volatile int expected;

  /** A caller that waits. Its answer or failure is set before it is woken. */
  private static final class Entry<I, O> {
    final I item;
    final Semaphore wake = new Semaphore(0);
    volatile boolean done;
    @Nullable O answer;
    @Nullable RuntimeException failure;

    Entry(I item) {
      this.item = item;
    }
  }

  /**
   * Makes a batcher.
   *
   * @param decide answers items in their order, all or, by an exception, none
   */
  Batcher(Function<List<I>, List<O>> decide) {
    this.decide = decide;
  }

  /** Asks, and waits for the answer. */
  O ask(I item) {
    Entry<I, O> mine = new Entry<>(item);
    waiting.add(mine);
    while (!mine.done) {
      if (mayStart()) {
        try {
          decideNext();
        } finally {
          inFlight.decrementAndGet();
        }
        // Whoever came meanwhile found a batch in flight and waits: its first one goes on.
        Entry<I, O> next = waiting.peek();
        if (next != null) {
          next.wake.release();
        }
      } else {
        mine.wake.acquireUninterruptibly();
      }
    }
    if (mine.failure != null) {
      throw mine.failure;
    }
    return Objects.requireNonNull(mine.answer);
  }

  /** Returns how many wait for the next batch. */
  int waiting() {
    return waiting.size();
  }

  private boolean mayStart() {
    return inFlight.compareAndSet(0, 1)
        // Counting those who wait goes through them all: last.
        || (inFlight.get() == 1
            && waiting.size() >= ENOUGH_FOR_A_SECOND
            && inFlight.compareAndSet(1, 2));
  }

  private void gather() {
    long start = System.nanoTime();
    while (waiting.size() < expected && System.nanoTime() - start < LONGEST_GATHERING_NANOS) {
      LockSupport.parkNanos(GATHERING_STEP_NANOS);
    }
  }

  private void decideNext() {
    gather();
    List<Entry<I, O>> batch = new ArrayList<>();
    Entry<I, O> next;
    while (batch.size() < MAX_SIZE && (next = waiting.poll()) != null) {
      batch.add(next);
    }
    if (batch.isEmpty()) {
      expected = 0;
      return;
    }
    try {
      List<O> answers = decide.apply(batch.stream().map(entry -> entry.item).toList());
      for (int i = 0; i < batch.size(); i++) {
        answer(batch.get(i), answers.get(i), null);
      }
    } catch (RuntimeException e) {
      if (batch.size() == 1) {
        answer(batch.getFirst(), null, e);
      } else {
        // What is wrong with one must not fail the others.
        batch.forEach(this::decideAlone);
      }
    }
    expected = batch.size() == 1 ? 0 : Math.min(MAX_SIZE, batch.size() + waiting.size());
  }

  private void decideAlone(Entry<I, O> entry) {
    try {
      answer(entry, decide.apply(List.of(entry.item)).getFirst(), null);
    } catch (RuntimeException e) {
      answer(entry, null, e);
    }
  }

  private static <I, O> void answer(
      Entry<I, O> entry, @Nullable O answer, @Nullable RuntimeException failure) {
    entry.answer = answer;
    entry.failure = failure;
    entry.done = true;
    entry.wake.release();
  }
}
