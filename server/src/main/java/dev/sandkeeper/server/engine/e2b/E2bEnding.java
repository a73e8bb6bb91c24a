package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.engine.guest.EndNotice;
import dev.sandkeeper.server.engine.guest.Waiting;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How a sandbox at E2B ends: by itself, which is told, or as it is told to; or is let go of and
 * runs on. What has ended is removed at E2B, again and again until that is done.
 */
final class E2bEnding {
  private static final Logger logger = LoggerFactory.getLogger(E2bEnding.class);

  /** How long an execution that lost its connection waits to see whether its sandbox ended. */
  private static final Duration END_TIME = Duration.ofSeconds(2);

  private static final Duration REMOVE_AGAIN = Duration.ofSeconds(10);

  private final SandboxId id;
  private final ReentrantLock turns;
  private final RemoteHandle remote;
  private final SavedSandbox saved;
  private final Runnable letEnd;
  private final Runnable removed;
  private final EndNotice notice = new EndNotice();
  private final Alarm removal;

  private volatile boolean stopping;
  private volatile boolean letGo;
  private volatile boolean over;

  /** Whether E2B has ended it, as it was told to. */
  private volatile boolean removedThere;

  private volatile String goodbye = "";

  /**
   * Makes it for a sandbox that runs.
   *
   * @param turns held while the sandbox is ended
   * @param letEnd ends what belongs to the sandbox here
   * @param removed told once nothing of it is left
   */
  E2bEnding(
      SandboxId id,
      ReentrantLock turns,
      RemoteHandle remote,
      SavedSandbox saved,
      ScheduledExecutorService timer,
      Runnable letEnd,
      Runnable removed) {
    this.id = id;
    this.turns = turns;
    this.remote = remote;
    this.saved = saved;
    this.letEnd = letEnd;
    this.removed = removed;
    removal = new Alarm(timer, "e2b-removal");
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#onEnd}. */
  void onEnd(Consumer<SandboxEnd> callback) {
    notice.onEnd(callback);
  }

  /** Whether it has ended, or is somebody else's by now. */
  boolean isOver() {
    return over || letGo;
  }

  /** Whether nothing of it runs on, or is not to. */
  boolean hasEnded() {
    return over;
  }

  /** Whether it was told to end. */
  boolean isStopping() {
    return stopping;
  }

  /** Whether it runs on without this object. */
  boolean isLetGo() {
    return letGo;
  }

  /** Whether its agent has said that it ends, and why. */
  boolean saidGoodbye() {
    return !goodbye.isEmpty();
  }

  /** Its agent says that it ends. */
  void goodbye(String reason) {
    goodbye = reason;
  }

  /**
   * Refuses what needs a sandbox that has not ended.
   *
   * @throws EngineException {@code FAILED} when it has
   */
  void requireRunning() {
    if (stopping || isOver()) {
      throw new EngineException(EngineException.Kind.FAILED, "the sandbox has ended");
    }
  }

  /**
   * Returns what is left of the paid time; ends the sandbox when that is nothing.
   *
   * @throws EngineException {@code FAILED} when it has ended by this
   */
  Duration requirePaid() {
    Duration left = saved.left();
    if (left.isZero()) {
      // The alarm is about to do the same; nothing of it is to run unpaid.
      end(SandboxEnd.Reason.PAID_TIME_OVER);
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox has ended: its paid time is over");
    }
    return left;
  }

  /**
   * Ends it, as it is told to.
   *
   * @param farewell what is done before, if it lives
   * @throws EngineException when it could not be removed
   */
  void destroy(Runnable farewell) {
    stopping = true;
    turns.lock();
    try {
      if (!over) {
        farewell.run();
      }
      remove();
    } finally {
      turns.unlock();
    }
  }

  /** Ends it by itself, if what speaks for that still holds once nothing else is done with it. */
  void endIf(BooleanSupplier still, SandboxEnd.Reason reason) {
    turns.lock();
    try {
      if (!isOver() && still.getAsBoolean()) {
        end(reason);
      }
    } finally {
      turns.unlock();
    }
  }

  /** Ends it by itself; the caller has its turn. */
  void end(SandboxEnd.Reason reason) {
    if (isOver()) {
      return;
    }
    try {
      remove();
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("An ended sandbox could not be removed yet");
      letEnd();
      removal.in(REMOVE_AGAIN, this::removeAgain);
    }
    SandboxEnd.Reason why = saved.isUnpaid() ? SandboxEnd.Reason.PAID_TIME_OVER : reason;
    notice.tell(new SandboxEnd(why, Optional.of(UsageReading.NOTHING)));
  }

  /** Ends it at E2B, unless that was done, and lets go of what belongs to it here. */
  private void remove() {
    if (removedThere) {
      return;
    }
    remote.kill();
    removedThere = true;
    letEnd();
    removed.run();
  }

  private void letEnd() {
    over = true;
    removal.cancel();
    letEnd.run();
  }

  private void removeAgain() {
    turns.lock();
    try {
      if (!letGo) {
        remove();
      }
    } catch (EngineException e) {
      logger.atDebug().addKeyValue("sandbox_id", id).setCause(e).log("Not removed yet");
      removal.in(REMOVE_AGAIN, this::removeAgain);
    } finally {
      turns.unlock();
    }
  }

  /** It runs on without this object, for which it is over. */
  void letGo() {
    letGo = true;
    removal.cancel();
  }

  /** As {@link dev.sandkeeper.server.engine.guest.GuestHost#whyLost}. */
  ExecutionEnd.Reason whyLost() {
    boolean ended = Waiting.until(END_TIME, () -> stopping || over || saidGoodbye());
    return ended ? ExecutionEnd.Reason.SANDBOX_ENDED : ExecutionEnd.Reason.LOST;
  }
}
