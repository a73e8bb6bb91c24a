package dev.sandkeeper.server.ledger;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Decides together what is asked for at once: one batch is in flight, and while it is, the next one
 * collects. One hot counter's row is locked until its commit is on disk; this way a commit carries
 * many decisions instead of one.
 *
 * <p>Whoever asks while nothing is in flight decides at once, alone, on its own thread; so an idle
 * system adds no delay.
 *
 * @param <I> what is asked
 * @param <O> the answer
 */
final class Batcher<I, O> {
  /** More would only make each wait longer; by then the commit is a small part. */
  static final int MAX_SIZE = 256;

  private final Function<List<I>, List<O>> decide;
  private final ConcurrentLinkedQueue<Entry<I, O>> waiting = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean inFlight = new AtomicBoolean();

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
      if (inFlight.compareAndSet(false, true)) {
        try {
          decideNext();
        } finally {
          inFlight.set(false);
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

  private void decideNext() {
    List<Entry<I, O>> batch = new ArrayList<>();
    Entry<I, O> next;
    while (batch.size() < MAX_SIZE && (next = waiting.poll()) != null) {
      batch.add(next);
    }
    if (batch.isEmpty()) {
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
