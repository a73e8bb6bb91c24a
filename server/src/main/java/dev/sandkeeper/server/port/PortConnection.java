package dev.sandkeeper.server.port;

import dev.sandkeeper.server.engine.EngineConnection;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/** A connection to a port, which is closed when nothing has passed for too long. */
public final class PortConnection implements EngineConnection {
  private final EngineConnection connection;
  private final long idleNanos;
  private final ScheduledExecutorService timer;
  private final Runnable release;
  private final AtomicBoolean closed = new AtomicBoolean();
  private volatile long lastNanos = System.nanoTime();
  private volatile boolean idle;
  private volatile @Nullable Future<?> nextLook;
  private volatile Runnable onIdle = () -> {};

  PortConnection(
      EngineConnection connection,
      Duration idleTimeout,
      ScheduledExecutorService timer,
      Runnable release) {
    this.connection = connection;
    this.idleNanos = idleTimeout.toNanos();
    this.timer = timer;
    this.release = release;
    lookAfter(idleNanos);
  }

  /** Says whether it was closed because nothing had passed for too long. */
  public boolean idle() {
    return idle;
  }

  /** Asks to be told when it is closed because nothing has passed for too long. */
  public void onIdle(Runnable callback) {
    onIdle = callback;
  }

  @Override
  public int read(ByteBuffer target) throws IOException {
    int count = connection.read(target);
    lastNanos = System.nanoTime();
    return count;
  }

  @Override
  public void write(ByteBuffer source) throws IOException {
    connection.write(source);
    lastNanos = System.nanoTime();
  }

  @Override
  public void endOutput() throws IOException {
    connection.endOutput();
  }

  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      cancelLook();
      connection.close();
      release.run();
    }
  }

  private void lookAfter(long nanos) {
    try {
      nextLook = timer.schedule(this::look, nanos, TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException _) {
      // The server stops, and ends the connection with its call.
    }
    if (closed.get()) {
      cancelLook();
    }
  }

  /** Short connections are many, and not to be remembered until they would have been idle. */
  private void cancelLook() {
    Future<?> look = nextLook;
    if (look != null) {
      look.cancel(false);
    }
  }

  private void look() {
    if (closed.get()) {
      return;
    }
    long left = idleNanos - (System.nanoTime() - lastNanos);
    if (left > 0) {
      lookAfter(left);
      return;
    }
    idle = true;
    close();
    onIdle.run();
  }
}
