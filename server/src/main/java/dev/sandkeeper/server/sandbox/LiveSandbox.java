package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineSandbox;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** A sandbox that this server runs: its row as it was at the start, and its engine's handle. */
public final class LiveSandbox {
  private final Sandbox sandbox;
  private final EngineSandbox engine;
  private final AtomicReference<@Nullable CompletableFuture<Sandbox>> end = new AtomicReference<>();
  private final ReentrantLock turn = new ReentrantLock();
  private volatile Instant paidUntil;
  private volatile boolean pausedInBooks;
  private final Activity activity;
  private volatile @Nullable Future<?> nextCheck;
  private volatile @Nullable Future<?> nextIdleCheck;

  LiveSandbox(Sandbox sandbox, EngineSandbox engine, BillingClock clock) {
    this.sandbox = sandbox;
    this.engine = engine;
    this.activity = new Activity(clock);
    this.paidUntil = sandbox.paidUntil();
    this.pausedInBooks = sandbox.state() == SandboxState.PAUSED;
  }

  /** Returns the sandbox as it was when it became live here. */
  public Sandbox sandbox() {
    return sandbox;
  }

  /** Returns its id. */
  public SandboxId id() {
    return sandbox.sandboxId();
  }

  /** Returns the engine's handle. */
  public EngineSandbox engine() {
    return engine;
  }

  /** Returns the end of the time that is paid for; moves forward while it runs. */
  public Instant paidUntil() {
    return paidUntil;
  }

  /** Moves the end of the paid time forward; two who renew may come in any order. */
  synchronized void paidUntil(Instant time) {
    if (time.isAfter(paidUntil)) {
      paidUntil = time;
    }
  }

  /**
   * Returns what is held by whoever renews its lease, pauses or resumes it. Its end waits for none
   * of them: it may hang on the database, and the engine and the books let nothing come behind an
   * end.
   */
  ReentrantLock turn() {
    return turn;
  }

  /** Says whether nothing of it runs now; the books may learn of it later. */
  public boolean paused() {
    return engine.paused();
  }

  /** Says whether the books were last known to have it as PAUSED. */
  boolean pausedInBooks() {
    return pausedInBooks;
  }

  void pausedInBooks(boolean paused) {
    pausedInBooks = paused;
  }

  /** Returns what keeps it from being idle. */
  Activity activity() {
    return activity;
  }

  /**
   * Begins a use, during which it is not idle.
   *
   * @return whether it is in use now, until {@link #endUse}; false when it is about to be ended
   */
  public boolean beginUse() {
    return activity.begin();
  }

  /** Ends a use. */
  public void endUse() {
    activity.end();
  }

  /** Ends a use that came to nothing: the sandbox was idle all the while. */
  public void abandonUse() {
    activity.abandon();
  }

  /** Says whether its end has begun. */
  boolean ending() {
    return end.get() != null;
  }

  /**
   * Begins the end.
   *
   * @param mine completed by whoever begins it
   * @return the end that had begun before; null when this call begins it
   */
  @Nullable CompletableFuture<Sandbox> beginEnd(CompletableFuture<Sandbox> mine) {
    return end.compareAndSet(null, mine) ? null : end.get();
  }

  /** Replaces the next check of its lease. */
  void nextCheck(Future<?> check) {
    Future<?> before = nextCheck;
    nextCheck = check;
    cancel(before);
  }

  /** Sets the next look at whether it is idle. */
  void nextIdleCheck(Future<?> check) {
    nextIdleCheck = check;
  }

  /** Drops the next checks. */
  void cancelChecks() {
    cancel(nextCheck);
    cancel(nextIdleCheck);
  }

  private static void cancel(@Nullable Future<?> check) {
    if (check != null) {
      check.cancel(false);
    }
  }
}
