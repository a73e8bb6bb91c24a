package dev.sandkeeper.server.engine.guest;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Bounds how long a worker inside may keep us waiting: it runs under the user's id, so the user can
 * stop it.
 *
 * @param timer closes connections
 * @param limit the longest wait for one frame
 */
public record Patience(ScheduledExecutorService timer, Duration limit) {

  /** Something that waits on a connection. */
  @FunctionalInterface
  interface Wait<T> {
    T call() throws IOException;
  }

  /** Waits, and closes the connection when that takes too long, which ends the wait. */
  <T> T within(Connection connection, Wait<T> wait) throws IOException {
    ScheduledFuture<?> end =
        timer.schedule(connection::close, limit.toNanos(), TimeUnit.NANOSECONDS);
    try {
      return wait.call();
    } finally {
      end.cancel(false);
    }
  }
}
