package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineConnection;
import dev.sandkeeper.server.engine.EngineContexts;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.RunningExecution;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.engine.guest.EndNotice;
import dev.sandkeeper.server.engine.guest.GuestHost;
import dev.sandkeeper.server.engine.guest.GuestSandbox;
import dev.sandkeeper.server.engine.guest.Patience;
import dev.sandkeeper.server.engine.guest.SocketOwner;
import dev.sandkeeper.server.engine.guest.Waiting;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A sandbox at E2B with our agent in it. What it uses is not measured: E2B bills what is allocated.
 */
final class E2bSandbox implements EngineSandbox, GuestHost {
  private static final Logger logger = LoggerFactory.getLogger(E2bSandbox.class);

  /**
   * How long the agent lives unrenewed: much longer than a sandbox is paid ahead. E2B ends it when
   * its paid time is over; the agent's own clock may run on while it is paused.
   */
  static final Duration AGENT_LIFE = Duration.ofDays(20);

  /** How long the agent may be away while the link to its sandbox stands. */
  private static final Duration AGENT_TIME = Duration.ofSeconds(15);

  private static final Duration END_TIME = Duration.ofSeconds(2);
  private static final Duration GRACE_SLACK = Duration.ofMillis(500);
  private static final Duration ROTATION_AGAIN = Duration.ofSeconds(30);
  private static final Duration REACH_AGAIN = Duration.ofSeconds(5);
  private static final Duration REMOVE_AGAIN = Duration.ofSeconds(10);
  private static final int MAX_DOUBLINGS = 16;

  private final SandboxId id;
  private final long generation;
  private final E2bEngineSettings settings;
  private final String remoteId;
  private final RemoteHandle remote;
  private final SavedSandbox saved;
  private final GuestSandbox guest;
  private final EndNotice notice = new EndNotice();
  private final Alarm paidEnd;
  private final Alarm sessionEnd;
  private final Alarm agentCheck;
  private final Alarm reachAgain;
  private final Alarm removal;

  /** Told once nothing of it is left. */
  private final Runnable removed;

  /** Held while the sandbox is ended, paused, resumed, rotated or kept, by turns. */
  private final ReentrantLock ending = new ReentrantLock();

  /** Whether E2B is still to be told of a renewal. */
  private final AtomicBoolean renewed = new AtomicBoolean();

  /** Completed once its agent has answered for the first time, or will not. */
  private final CompletableFuture<Boolean> begun = new CompletableFuture<>();

  private volatile boolean stopping;
  private volatile boolean letGo;
  private volatile boolean paused;
  private volatile boolean rotating;
  private volatile boolean over;

  /** Whether E2B may have it running though it is paused; guarded by {@link #ending}. */
  private Doubt doubt = Doubt.NONE;

  /** Whether E2B has ended it, as it was told to. */
  private volatile boolean removedThere;

  /** How often in a row the agent was away though the link stood; of the check alone. */
  private volatile int absences;

  /** How often in a row E2B's daemons did not know it, since its agent was there last. */
  private final AtomicInteger goneInARow = new AtomicInteger();

  private volatile String goodbye = "";

  /** What is known of a resumption at E2B that failed here. */
  private enum Doubt {
    /** It is as the rest says. */
    NONE,
    /** It was not taken, as far as the last try tells. */
    HARDLY_RUNS,
    /** It may run there, at the price of running. */
    MAY_RUN
  }

  // Guarded by this.
  private Optional<SandboxSpec> created = Optional.empty();

  /**
   * Begins to listen for the agent; it is yet to be reached.
   *
   * @param folder of the sockets and what is remembered
   * @param remoteId E2B's id of it
   * @param remote makes the handle on what runs at E2B, given who is to be told when it is gone
   * @param removed told once nothing of it is left
   */
  E2bSandbox(
      SandboxId id,
      long generation,
      E2bEngineSettings settings,
      Path folder,
      SocketOwner owner,
      Patience patience,
      SavedSandbox saved,
      String remoteId,
      Function<Runnable, RemoteHandle> remote,
      Runnable removed) {
    this.id = id;
    this.generation = generation;
    this.settings = settings;
    this.saved = saved;
    this.remoteId = remoteId;
    this.removed = removed;
    paidEnd = new Alarm(patience.timer(), "e2b-paid-end");
    sessionEnd = new Alarm(patience.timer(), "e2b-session-end");
    agentCheck = new Alarm(patience.timer(), "e2b-agent-check");
    reachAgain = new Alarm(patience.timer(), "e2b-reach-again");
    removal = new Alarm(patience.timer(), "e2b-removal");
    this.remote = remote.apply(this::goneThere);
    guest =
        new GuestSandbox(
            folder, owner, this, patience, folder.resolve("contexts"), saved.languages());
  }

  @Override
  public SandboxId id() {
    return id;
  }

  @Override
  public long generation() {
    return generation;
  }

  @Override
  public Optional<String> remoteId() {
    return Optional.of(remoteId);
  }

  @Override
  public Set<Language> languages() {
    return saved.languages();
  }

  /**
   * Starts the agent of what was created, links up with it and waits for it.
   *
   * @param startAgent puts it into the sandbox, and returns the languages found there
   * @param agentLog returns what the agent wrote of itself
   * @throws EngineException when it cannot be started, or does not answer in time
   */
  void begin(
      Session session,
      SandboxSpec spec,
      Supplier<Set<Language>> startAgent,
      Supplier<String> agentLog) {
    synchronized (this) {
      created = Optional.of(spec);
    }
    boolean answered = false;
    try {
      Set<Language> languages = startAgent.get();
      if (!languages.equals(saved.languages())) {
        saved.languages(languages);
      }
      reach(session);
      if (!guest.awaitAgent(settings.startTimeout())) {
        throw new EngineException(
            EngineException.Kind.FAILED,
            "the sandbox's agent did not answer within "
                + settings.startTimeout()
                + ", and wrote: "
                + agentLog.get());
      }
      guest.getReady();
      saved.setBegun();
      watch(Duration.ZERO);
      answered = true;
    } finally {
      begun.complete(answered);
    }
  }

  /** Links up, unless the sandbox is no more: then there is nothing to come back to. */
  private void reach(Session session) {
    ending.lock();
    try {
      requireRunning();
      remote.reach(session);
    } finally {
      ending.unlock();
    }
  }

  /**
   * Ends it, as its agent could not be started.
   *
   * @return false when it had ended before, which is why
   */
  boolean failed(RuntimeException cause) {
    if (stopping || isOver()) {
      return false;
    }
    logger
        .atWarn()
        .addKeyValue("sandbox_id", id)
        .setCause(cause)
        .log("The sandbox was handed out and its agent did not start");
    endIf(() -> true, SandboxEnd.Reason.AGENT_LOST);
    return true;
  }

  /**
   * Takes over what an earlier engine object created, and E2B says runs. As with one that runs all
   * along, its agent is waited for by what is asked of it: a way to it that is closed for a while
   * is no reason to lose it, or to keep others from being taken over.
   *
   * @param ran how long its session has run
   */
  void stayRunning(Session session, Duration ran) {
    begun.complete(true);
    if (saved.rotating()) {
      var _ = remote.resume(requirePaid());
      rotated();
    } else {
      remote.reach(session);
    }
    guest.getReady();
    watch(ran);
    checkAgent();
  }

  /** Takes a sandbox over that an earlier engine object has paused. */
  void stayPaused() {
    begun.complete(true);
    paused = true;
    watchPaidTime();
  }

  private void watch(Duration ran) {
    watchPaidTime();
    watchSession(ran);
  }

  private void watchPaidTime() {
    paidEnd.in(
        saved.left(),
        () -> {
          if (saved.left().isZero()) {
            endIf(this::unpaid, SandboxEnd.Reason.PAID_TIME_OVER);
          } else {
            watchPaidTime();
          }
        });
  }

  private boolean unpaid() {
    return saved.left().isZero();
  }

  private void watchSession(Duration ran) {
    Duration left = settings.sessionLimit().minus(settings.rotationMargin()).minus(ran);
    sessionEnd.in(left.isNegative() ? Duration.ZERO : left, this::rotate);
  }

  /**
   * Begins a session anew before E2B ends this one. Everything in it goes on, but for its own
   * connections to hosts.
   */
  private void rotate() {
    ending.lock();
    try {
      if (isOver() || stopping || paused || unpaid()) {
        return;
      }
      // Should it fail; a session that begins meanwhile puts it off.
      sessionEnd.in(ROTATION_AGAIN, this::rotate);
      rotating = true;
      saved.rotating(true);
      remote.pause();
      var _ = remote.resume(requirePaid());
      watchSession(Duration.ZERO);
      rotated();
      awaitConnected(settings.startTimeout());
      logger.atInfo().addKeyValue("sandbox_id", id).log("The session at E2B was begun anew");
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("The session at E2B could not be begun anew yet");
      reachOrEnd();
    } finally {
      rotating = false;
      ending.unlock();
    }
    tryToKeepRenewed();
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

  @Override
  public EngineExecution start(ExecutionSpec spec, ExecutionListener listener) {
    return guest.start(spec, listener);
  }

  @Override
  public List<EngineExecution> takeUp(List<RunningExecution> executions) {
    return guest.takeUp(executions);
  }

  @Override
  public void openNetwork(Consumer<SocketChannel> connections) {
    requireRunning();
    guest.openNetwork(connections);
  }

  @Override
  public UsageReading usage() {
    return UsageReading.NOTHING;
  }

  @Override
  public void renew(Duration paid) {
    if (!paid.isPositive()) {
      throw new IllegalArgumentException("paid: " + paid + " (expected: > 0)");
    }
    requireRunning();
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
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("How long the sandbox is paid for could not be written down");
    }
  }

  /**
   * Has E2B keep to the paid time, if that has changed. Waits for nobody: to pause or to rotate
   * takes E2B up to minutes, and who does so calls this when it is done.
   *
   * @throws EngineException when it has ended, or E2B does not do so
   */
  private void keepRenewed() {
    while (renewed.get() && ending.tryLock()) {
      try {
        if (renewed.getAndSet(false)) {
          requireRunning();
          if (!paused) {
            remote.keep(requirePaid());
            guest.renew(AGENT_LIFE);
          }
        }
      } finally {
        ending.unlock();
      }
    }
  }

  /** The same for who was doing something else: what fails is tried at the next renewal. */
  private void tryToKeepRenewed() {
    try {
      keepRenewed();
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("E2B was not told how long the sandbox is paid for");
    }
  }

  /** Returns what is left of the paid time; ends the sandbox when that is nothing. */
  private Duration requirePaid() {
    Duration left = saved.left();
    if (left.isZero()) {
      // The alarm is about to do the same; nothing of it is to run unpaid.
      end(SandboxEnd.Reason.PAID_TIME_OVER);
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox has ended: its paid time is over");
    }
    return left;
  }

  @Override
  public UsageReading pause() {
    requireRunning();
    // What is being started there cannot be held.
    boolean ignored = begun.join();
    ending.lock();
    try {
      requireRunning();
      if (!paused) {
        // First: what loses its connection now is to wait for another.
        paused = true;
        pauseThere();
      } else if (doubt != Doubt.NONE) {
        pauseInDoubt();
      }
      return UsageReading.NOTHING;
    } finally {
      ending.unlock();
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
      if (doubt == Doubt.MAY_RUN || isOver()) {
        throw e;
      }
      // While E2B is away a paused sandbox is not lost over an attempt to resume it.
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("E2B does not tell yet that the sandbox is still paused");
    }
  }

  /** It is told that there is no such sandbox, which those that run it may say too early. */
  private void goneThere() {
    reachAgain.in(backoff(goneInARow.getAndIncrement()), this::reachOrEnd);
  }

  /** Not at all at first, then twice as long each time. */
  private Duration backoff(int failures) {
    if (failures == 0) {
      return Duration.ZERO;
    }
    E2bSettings.LinkTimes times = settings.api().link();
    Duration wait = times.firstWait().multipliedBy(1L << Math.min(failures - 1, MAX_DOUBLINGS));
    return wait.compareTo(times.longestWait()) < 0 ? wait : times.longestWait();
  }

  /**
   * Links up anew with a sandbox that is to run, as often as it takes; ends one that is no more.
   */
  private void reachOrEnd() {
    ending.lock();
    try {
      if (isOver() || stopping || paused || unpaid() || remote.isReached()) {
        return;
      }
      if (remote.exists()) {
        boolean anew = remote.resume(requirePaid());
        if (anew) {
          watchSession(Duration.ZERO);
        }
        rotated();
      } else {
        end(SandboxEnd.Reason.AGENT_LOST);
      }
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("The sandbox is not reached now");
      reachAgain.in(REACH_AGAIN, this::reachOrEnd);
    } finally {
      ending.unlock();
    }
    tryToKeepRenewed();
  }

  @Override
  public void resume() {
    requireRunning();
    ending.lock();
    try {
      requireRunning();
      if (paused) {
        goOn();
      }
    } finally {
      ending.unlock();
    }
    tryToKeepRenewed();
  }

  private void goOn() {
    Duration paid = requirePaid();
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
    paused = false;
    awaitConnected(settings.startTimeout());
    guest.getReady();
    watch(Duration.ZERO);
  }

  private static boolean mayBeDone(EngineException failure) {
    return failure.getCause() instanceof E2bException cause && cause.mayBeDone();
  }

  /** Ends it when it is refused for not being there. */
  private void endIfGone(EngineException refusal) {
    try {
      if (refusal.kind() == EngineException.Kind.FAILED && !remote.exists()) {
        end(SandboxEnd.Reason.AGENT_LOST);
      }
    } catch (EngineException e) {
      logger.debug("Whether {} is there is not known", id, e);
    }
  }

  private void awaitConnected(Duration timeout) {
    if (!Waiting.until(timeout, guest::connected)) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's agent did not answer within " + timeout);
    }
  }

  @Override
  public boolean paused() {
    return paused && !over;
  }

  @Override
  public UsageReading destroy(Duration grace) {
    stopping = true;
    ending.lock();
    try {
      if (!over && grace.isPositive()) {
        askToStop(grace);
      }
      remove();
      return UsageReading.NOTHING;
    } finally {
      ending.unlock();
    }
  }

  /** An agent that cannot be asked is no reason to let the sandbox live. */
  private void askToStop(Duration grace) {
    long limit = System.nanoTime() + grace.toNanos();
    try {
      if (paused && !unpaid()) {
        goOn();
      }
      if (!guest.connected()) {
        return;
      }
      Duration left = Duration.ofNanos(Math.max(0, limit - System.nanoTime()));
      guest.stop(left);
      boolean ignored = Waiting.until(left.plus(GRACE_SLACK), () -> !goodbye.isEmpty());
    } catch (EngineException e) {
      logger.debug("The agent of {} takes no messages; its sandbox is ended at once", id, e);
    }
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
    cancelAlarms();
    guest.close();
  }

  private void cancelAlarms() {
    List.of(paidEnd, sessionEnd, agentCheck, reachAgain, removal).forEach(Alarm::cancel);
  }

  @Override
  public void onEnd(Consumer<SandboxEnd> callback) {
    notice.onEnd(callback);
  }

  @Override
  public EngineContexts contexts() {
    return guest.contexts();
  }

  @Override
  public EngineFiles files() {
    return guest.files();
  }

  @Override
  public EngineConnection connect(int port) {
    return guest.connect(port);
  }

  /** Lets go of the sandbox, which runs on. */
  void close() {
    letGo = true;
    cancelAlarms();
    remote.close();
    guest.letGo();
  }

  @Override
  public void controlGained() {
    agentCheck.cancel();
    absences = 0;
    goneInARow.set(0);
    // What was on its way when the connection broke may never have arrived.
    synchronized (this) {
      created.ifPresent(guest::setUp);
    }
    guest.renew(AGENT_LIFE);
  }

  @Override
  public void controlLost() {
    if (!isOver() && !stopping) {
      checkAgent();
    }
  }

  /**
   * Ends the sandbox when its agent stays away though the link to it stands: seen twice, as between
   * a link and the agent's connection over it some time passes.
   */
  private void checkAgent() {
    agentCheck.in(
        AGENT_TIME,
        () -> {
          if (isOver() || guest.connected()) {
            return;
          }
          absences = isCutOff() ? 0 : absences + 1;
          if (absences < 2) {
            checkAgent();
          } else {
            endIf(() -> !guest.connected() && !isCutOff(), SandboxEnd.Reason.AGENT_LOST);
          }
        });
  }

  @Override
  public void goodbye(String reason) {
    goodbye = reason;
  }

  /** Ends it, if what speaks for that still holds once nothing else is done with it. */
  private void endIf(BooleanSupplier still, SandboxEnd.Reason reason) {
    ending.lock();
    try {
      if (!isOver() && still.getAsBoolean()) {
        end(reason);
      }
    } finally {
      ending.unlock();
    }
  }

  private void end(SandboxEnd.Reason reason) {
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
    SandboxEnd.Reason why = unpaid() ? SandboxEnd.Reason.PAID_TIME_OVER : reason;
    notice.tell(new SandboxEnd(why, Optional.of(UsageReading.NOTHING)));
  }

  private void removeAgain() {
    ending.lock();
    try {
      if (!letGo) {
        remove();
      }
    } catch (EngineException e) {
      logger.atDebug().addKeyValue("sandbox_id", id).setCause(e).log("Not removed yet");
      removal.in(REMOVE_AGAIN, this::removeAgain);
    } finally {
      ending.unlock();
    }
  }

  /** What the kernel of another machine does is not seen from here. */
  @Override
  public long outOfMemoryKills() {
    return 0;
  }

  @Override
  public ExecutionEnd.Reason whyLost() {
    boolean ended = Waiting.until(END_TIME, () -> stopping || over || !goodbye.isEmpty());
    return ended ? ExecutionEnd.Reason.SANDBOX_ENDED : ExecutionEnd.Reason.LOST;
  }

  @Override
  public boolean outlivesConnections() {
    return true;
  }

  @Override
  public boolean isCutOff() {
    return paused || rotating || !remote.isReached();
  }

  @Override
  public boolean isEnding() {
    return stopping;
  }

  @Override
  public boolean isLetGo() {
    return letGo;
  }

  @Override
  public boolean isPaused() {
    return paused;
  }

  @Override
  public void requireRunning() {
    if (stopping || isOver()) {
      throw new EngineException(EngineException.Kind.FAILED, "the sandbox has ended");
    }
  }

  private boolean isOver() {
    return over || letGo;
  }
}
