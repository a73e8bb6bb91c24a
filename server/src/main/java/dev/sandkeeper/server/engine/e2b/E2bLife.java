package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.guest.GuestSandbox;
import dev.sandkeeper.server.engine.guest.Waiting;
import java.time.Duration;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether a sandbox at E2B runs there, and until when: it is paused and resumed, begun anew before
 * E2B ends its session, kept for as long as it is paid, and linked up with again, by turns.
 */
final class E2bLife {
  private static final Logger logger = LoggerFactory.getLogger(E2bLife.class);

  /**
   * How long the agent lives unrenewed: much longer than a sandbox is paid ahead. E2B ends it when
   * its paid time is over; the agent's own clock may run on while it is paused.
   */
  static final Duration AGENT_LIFE = Duration.ofDays(20);

  private static final Duration ROTATION_AGAIN = Duration.ofSeconds(30);
  private static final Duration REACH_AGAIN = Duration.ofSeconds(5);

  private final SandboxId id;
  private final E2bEngineSettings settings;
  private final ReentrantLock turns;
  private final RemoteHandle remote;
  private final SavedSandbox saved;
  private final GuestSandbox guest;
  private final E2bEnding ending;
  private final Alarm paidEnd;
  private final Alarm sessionEnd;
  private final Alarm reachAgain;

  /** Whether E2B is still to be told of a renewal. */
  private final AtomicBoolean renewed = new AtomicBoolean();

  /** How often in a row E2B's daemons did not know it, since its agent was there last. */
  private final AtomicInteger goneInARow = new AtomicInteger();

  private volatile boolean paused;
  private volatile boolean rotating;

  /**
   * Whether it is yet to be resumed, as a rotation or a pause failed. Guarded by {@link #turns}.
   */
  private boolean toBeResumed;

  /** Whether E2B may have it running though it is paused. Guarded by {@link #turns}. */
  private Doubt doubt = Doubt.NONE;

  /** What is known of a resumption at E2B that failed here. */
  private enum Doubt {
    /** There is none. */
    NONE,
    /** It was not taken, as far as its tries tell. */
    HARDLY_RUNS,
    /** It may run there, at the price of running. */
    MAY_RUN
  }

  /**
   * Makes it for a sandbox that is yet to be linked up with.
   *
   * @param turns held while something of this is done
   * @param guest its agent
   */
  E2bLife(
      SandboxId id,
      E2bEngineSettings settings,
      ReentrantLock turns,
      RemoteHandle remote,
      SavedSandbox saved,
      GuestSandbox guest,
      E2bEnding ending,
      ScheduledExecutorService timer) {
    this.id = id;
    this.settings = settings;
    this.turns = turns;
    this.remote = remote;
    this.saved = saved;
    this.guest = guest;
    this.ending = ending;
    paidEnd = new Alarm(timer, "e2b-paid-end");
    sessionEnd = new Alarm(timer, "e2b-session-end");
    reachAgain = new Alarm(timer, "e2b-reach-again");
  }

  boolean paused() {
    return paused;
  }

  /** Whether its agent cannot dial now. */
  boolean isCutOff() {
    return paused || rotating || !remote.isReached();
  }

  /** Links up, unless the sandbox is no more: then there is nothing to come back to. */
  void reach(Session session) {
    turns.lock();
    try {
      ending.requireRunning();
      remote.reach(session);
    } finally {
      turns.unlock();
    }
  }

  /**
   * Goes on with what an earlier engine object had running, or was about to.
   *
   * @param ran how long its session has run
   */
  void stayRunning(Session session, Duration ran) {
    boolean anew = false;
    if (saved.rotating()) {
      anew = remote.resume(ending.requirePaid());
      rotated();
    } else {
      remote.reach(session);
    }
    watch(anew ? Duration.ZERO : ran);
  }

  /** Goes on with what an earlier engine object has paused. */
  void stayPaused() {
    paused = true;
    watchPaidTime();
  }

  /**
   * Looks after the ends of its paid time and of its session from now on.
   *
   * @param ran how long its session has run
   */
  void watch(Duration ran) {
    watchPaidTime();
    watchSession(ran);
  }

  private void watchPaidTime() {
    paidEnd.in(
        saved.left(),
        () -> {
          if (saved.isUnpaid()) {
            ending.endIf(saved::isUnpaid, SandboxEnd.Reason.PAID_TIME_OVER);
          } else {
            watchPaidTime();
          }
        });
  }

  private void watchSession(Duration ran) {
    Duration left = settings.sessionLimit().minus(settings.rotationMargin()).minus(ran);
    sessionEnd.in(left.isNegative() ? Duration.ZERO : left, this::rotate);
  }

  /** Looks after nothing any more. */
  void cancelAlarms() {
    paidEnd.cancel();
    sessionEnd.cancel();
    reachAgain.cancel();
  }

  /** Whether it is to run: nobody has paused or ended it. */
  private boolean isToRun() {
    return !ending.isOver() && !ending.isStopping() && !paused && !saved.isUnpaid();
  }

  /**
   * Begins a session anew before E2B ends this one. Everything in it goes on, but for its own
   * connections to hosts.
   */
  private void rotate() {
    turns.lock();
    try {
      if (!isToRun()) {
        return;
      }
      // Should it fail; a session that begins meanwhile puts it off.
      sessionEnd.in(ROTATION_AGAIN, this::rotate);
      rotating = true;
      saved.rotating(true);
      toBeResumed = true;
      remote.pause();
      var _ = resumeThere();
      watchSession(Duration.ZERO);
      rotated();
      awaitConnected();
      logger.atInfo().addKeyValue("sandbox_id", id).log("The session at E2B was begun anew");
    } catch (EngineException e) {
      warn("The session at E2B could not be begun anew yet", e);
      reachOrEnd();
    } finally {
      rotating = false;
      turns.unlock();
    }
    tryToKeepRenewed();
  }

  /** Resumes it or takes it up where it runs; says whether its session has begun anew. */
  private boolean resumeThere() {
    boolean anew = remote.resume(ending.requirePaid());
    toBeResumed = false;
    return anew;
  }

  /** It runs again. Should that not be written, the next engine object resumes what runs. */
  private void rotated() {
    try {
      if (saved.rotating()) {
        saved.rotating(false);
      }
    } catch (EngineException e) {
      logger.debug("That {} runs again could not be written down", id, e);
    }
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#renew}. */
  void renew(Duration paid) {
    saved.paid(paid);
    watchPaidTime();
    renewed.set(true);
    keepRenewed();
    remember();
  }

  /**
   * Writes the paid time, once E2B has been told: what a full disk keeps from being written is
   * missed by the next engine object alone.
   */
  private void remember() {
    try {
      saved.write();
    } catch (EngineException e) {
      warn("How long the sandbox is paid for could not be written down", e);
    }
  }

  /**
   * Has E2B keep to the paid time, if that has changed. Waits for nobody: to pause or to rotate
   * takes E2B up to minutes, and who does so calls this when it is done.
   *
   * @throws EngineException when it has ended, or E2B does not do so
   */
  private void keepRenewed() {
    while (renewed.get() && turns.tryLock()) {
      try {
        if (renewed.getAndSet(false)) {
          ending.requireRunning();
          // Who resumes it tells E2B how long it is paid for.
          if (!paused && !toBeResumed) {
            remote.keep(ending.requirePaid());
            guest.renew(AGENT_LIFE);
          }
        }
      } finally {
        turns.unlock();
      }
    }
  }

  /** The same for who was doing something else: what fails is tried at the next renewal. */
  private void tryToKeepRenewed() {
    try {
      keepRenewed();
    } catch (EngineException e) {
      warn("E2B was not told how long the sandbox is paid for", e);
    }
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#pause}. */
  void pause() {
    turns.lock();
    try {
      ending.requireRunning();
      if (!paused) {
        // First: what loses its connection now is to wait for another.
        paused = true;
        pauseThere();
      } else if (doubt != Doubt.NONE) {
        pauseInDoubt();
      }
    } finally {
      turns.unlock();
      tryToKeepRenewed();
    }
  }

  private void pauseThere() {
    boolean done = false;
    try {
      if (saved.rotating()) {
        // From a rotation that failed: whoever finds it paused is not to resume it.
        saved.rotating(false);
      }
      remote.pause();
      done = true;
    } finally {
      if (!done) {
        paused = false;
        toBeResumed = true;
        reachOrEnd();
      }
    }
  }

  /**
   * Holds it still again, should E2B have resumed it without that being known here.
   *
   * @throws EngineException when it may run on
   */
  private void pauseInDoubt() {
    try {
      remote.pause();
      doubt = Doubt.NONE;
    } catch (EngineException e) {
      endIfGone(e);
      if (doubt == Doubt.MAY_RUN || ending.isOver()) {
        throw e;
      }
      // While E2B is away a paused sandbox is not lost over an attempt to resume it.
      warn("E2B does not tell yet that the sandbox is still paused", e);
    }
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#resume}. */
  void resume() {
    turns.lock();
    try {
      ending.requireRunning();
      if (paused) {
        goOn();
      }
    } finally {
      turns.unlock();
    }
    tryToKeepRenewed();
  }

  /**
   * Resumes it, and waits for its agent; the caller has its turn.
   *
   * @throws EngineException when E2B does not resume it, or its agent does not answer in time
   */
  void goOn() {
    Duration paid = ending.requirePaid();
    try {
      var _ = remote.resume(paid);
    } catch (EngineException e) {
      if (doubt != Doubt.MAY_RUN) {
        doubt = mayBeDone(e) ? Doubt.MAY_RUN : Doubt.HARDLY_RUNS;
      }
      endIfGone(e);
      throw e;
    }
    doubt = Doubt.NONE;
    toBeResumed = false;
    paused = false;
    awaitConnected();
    guest.getReady();
    watch(Duration.ZERO);
  }

  private static boolean mayBeDone(EngineException failure) {
    return failure.getCause() instanceof E2bException cause && cause.mayBeDone();
  }

  /** Ends it when it is refused for not being there. */
  private void endIfGone(EngineException refusal) {
    if (refusal.kind() != EngineException.Kind.FAILED || ending.isStopping()) {
      return;
    }
    try {
      if (!remote.exists()) {
        ending.end(SandboxEnd.Reason.AGENT_LOST);
      }
    } catch (EngineException e) {
      logger.debug("Whether {} is there is not known", id, e);
    }
  }

  private void awaitConnected() {
    Duration timeout = settings.startTimeout();
    if (!Waiting.until(timeout, guest::connected)) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's agent did not answer within " + timeout);
    }
  }

  /** Its agent is there. */
  void reached() {
    goneInARow.set(0);
  }

  /** It is told that there is no such sandbox, which those that run it may say too early. */
  void goneThere() {
    reachAgain.in(backoff(goneInARow.getAndIncrement()), this::reachOrEnd);
  }

  /** Not at all at first, then twice as long each time. */
  private Duration backoff(int failures) {
    return failures == 0 ? Duration.ZERO : settings.api().link().waitAfter(failures);
  }

  /**
   * Links up anew with a sandbox that is to run, as often as it takes; ends one that is no more.
   */
  private void reachOrEnd() {
    turns.lock();
    try {
      if (!isToRun() || remote.isReached()) {
        return;
      }
      if (remote.exists()) {
        if (resumeThere()) {
          watchSession(Duration.ZERO);
        }
        rotated();
      } else {
        ending.end(SandboxEnd.Reason.AGENT_LOST);
      }
    } catch (EngineException e) {
      warn("The sandbox is not reached now", e);
      reachAgain.in(REACH_AGAIN, this::reachOrEnd);
    } finally {
      turns.unlock();
    }
    tryToKeepRenewed();
  }

  private void warn(String message, EngineException cause) {
    logger.atWarn().addKeyValue("sandbox_id", id).setCause(cause).log(message);
  }
}
