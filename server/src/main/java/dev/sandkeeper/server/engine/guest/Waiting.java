package dev.sandkeeper.server.engine.guest;

import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Waits for what nobody tells of, by looking again and again. */
public final class Waiting {
  private static final long LOOK_NANOS = 1_000_000;

  private Waiting() {}

  /** Waits until something holds, at most so long; returns whether it did. */
  public static boolean until(Duration timeout, BooleanSupplier condition) {
    long limit = System.nanoTime() + timeout.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - limit >= 0) {
        return false;
      }
      LockSupport.parkNanos(LOOK_NANOS);
    }
    return true;
  }
}
