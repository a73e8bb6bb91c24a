package dev.sandkeeper.server.api;

import dev.sandkeeper.server.telemetry.Spans;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.concurrent.CancellationException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Sends a stream of messages to one caller, no faster than it takes them.
 *
 * <p>The work runs on a thread of its own: the event loop only says when there is room and when the
 * caller is gone, which interrupts the work.
 *
 * @param <R> the response
 */
final class PacedSender<R> {
  private final ServerCallStreamObserver<R> observer;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();

  /** What sends; ends when it returns. */
  @FunctionalInterface
  interface Work {
    /** Sends everything. */
    void run() throws InterruptedException;
  }

  PacedSender(ServerCallStreamObserver<R> observer) {
    this.observer = observer;
  }

  /** Starts the work and returns at once; the stream ends with it, well or not. */
  void start(Work work) {
    observer.setOnReadyHandler(this::wake);
    Thread thread =
        Thread.ofVirtual().name("paced-sender").unstarted(Spans.carrying(() -> run(work)));
    observer.setOnCancelHandler(thread::interrupt);
    thread.start();
  }

  /**
   * Sends one message, after waiting for room.
   *
   * @throws CancellationException when the caller is gone
   */
  void send(R response) {
    lock.lock();
    try {
      while (!observer.isReady()) {
        changed.await();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CancellationException();
    } finally {
      lock.unlock();
    }
    observer.onNext(response);
  }

  private void wake() {
    lock.lock();
    try {
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void run(Work work) {
    try {
      work.run();
      observer.onCompleted();
    } catch (InterruptedException | CancellationException _) {
      // The caller is gone.
    } catch (RuntimeException e) {
      if (!observer.isCancelled()) {
        observer.onError(e);
      }
    }
  }
}
