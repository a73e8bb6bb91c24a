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
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A sandbox at E2B with our agent in it: what it does, it does by the agent; whether it runs is
 * said by its {@link E2bLife}, and how it ends by its {@link E2bEnding}. What it uses is not
 * measured: E2B bills what is allocated.
 */
final class E2bSandbox implements EngineSandbox, GuestHost {
  private static final Logger logger = LoggerFactory.getLogger(E2bSandbox.class);

  /** How long the agent may be away while the link to its sandbox stands. */
  private static final Duration AGENT_TIME = Duration.ofSeconds(15);

  private static final Duration GRACE_SLACK = Duration.ofMillis(500);

  private final SandboxId id;
  private final long generation;
  private final E2bEngineSettings settings;
  private final String remoteId;
  private final RemoteHandle remote;
  private final SavedSandbox saved;
  private final GuestSandbox guest;
  private final E2bEnding ending;
  private final E2bLife life;
  private final Alarm agentCheck;

  /** Completed once its agent has answered for the first time, or will not. */
  private final CompletableFuture<Boolean> begun = new CompletableFuture<>();

  /** How often in a row the agent was away though the link stood; of the check alone. */
  private volatile int absences;

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
    this.remote = remote.apply(this::goneThere);
    ReentrantLock turns = new ReentrantLock();
    ScheduledExecutorService timer = patience.timer();
    agentCheck = new Alarm(timer, "e2b-agent-check");
    ending = new E2bEnding(id, turns, this.remote, saved, timer, this::letEnd, removed);
    guest =
        new GuestSandbox(
            folder, owner, this, patience, folder.resolve("contexts"), saved.languages());
    // Until then nothing is linked up with, so that nobody has dialled.
    life = new E2bLife(id, settings, turns, this.remote, saved, guest, ending, timer);
  }

  private void goneThere() {
    life.goneThere();
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
      life.reach(session);
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
      life.watch(Duration.ZERO);
      answered = true;
    } finally {
      begun.complete(answered);
    }
  }

  /**
   * Ends it, as its agent could not be started.
   *
   * @return false when it had ended before, which is why
   */
  boolean failed(RuntimeException cause) {
    if (ending.isStopping() || ending.isOver()) {
      return false;
    }
    logger
        .atWarn()
        .addKeyValue("sandbox_id", id)
        .setCause(cause)
        .log("The sandbox was handed out and its agent did not start");
    ending.endIf(() -> true, SandboxEnd.Reason.AGENT_LOST);
    return true;
  }

  /**
   * Takes over what an earlier engine object created, and E2B says runs. As with one that runs all
   * along, its agent is waited for by what is asked of it: a way to it that is closed for a while
   * is no reason to lose it, or to keep others from being taken over.
   *
   * @param ran how long its session has run
   * @throws EngineException when E2B does not resume what was about to be
   */
  void stayRunning(Session session, Duration ran) {
    begun.complete(true);
    life.stayRunning(session, ran);
    guest.getReady();
    checkAgent();
  }

  /** Takes a sandbox over that an earlier engine object has paused. */
  void stayPaused() {
    begun.complete(true);
    life.stayPaused();
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
    life.renew(paid);
  }

  @Override
  public UsageReading pause() {
    requireRunning();
    // What is being started there cannot be held.
    boolean ignored = begun.join();
    life.pause();
    return UsageReading.NOTHING;
  }

  @Override
  public void resume() {
    requireRunning();
    life.resume();
  }

  @Override
  public boolean paused() {
    return life.paused() && !ending.hasEnded();
  }

  @Override
  public UsageReading destroy(Duration grace) {
    ending.destroy(() -> {
      if (grace.isPositive()) {
        askToStop(grace);
      }
    });
    return UsageReading.NOTHING;
  }

  /** An agent that cannot be asked is no reason to let the sandbox live. */
  private void askToStop(Duration grace) {
    long limit = System.nanoTime() + grace.toNanos();
    try {
      if (life.paused() && !saved.isUnpaid()) {
        life.goOn();
      }
      if (!guest.connected()) {
        return;
      }
      Duration left = Duration.ofNanos(Math.max(0, limit - System.nanoTime()));
      guest.stop(left);
      boolean ignored = Waiting.until(left.plus(GRACE_SLACK), ending::saidGoodbye);
    } catch (EngineException e) {
      logger.debug("The agent of {} takes no messages; its sandbox is ended at once", id, e);
    }
  }

  private void letEnd() {
    cancelAlarms();
    guest.close();
  }

  private void cancelAlarms() {
    agentCheck.cancel();
    life.cancelAlarms();
  }

  @Override
  public void onEnd(Consumer<SandboxEnd> callback) {
    ending.onEnd(callback);
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
    ending.letGo();
    cancelAlarms();
    remote.close();
    guest.letGo();
  }

  @Override
  public void controlGained() {
    agentCheck.cancel();
    absences = 0;
    life.reached();
    // What was on its way when the connection broke may never have arrived.
    synchronized (this) {
      created.ifPresent(guest::setUp);
    }
    guest.renew(E2bLife.AGENT_LIFE);
  }

  @Override
  public void controlLost() {
    if (!ending.isOver() && !ending.isStopping()) {
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
          if (ending.isOver() || guest.connected()) {
            return;
          }
          absences = isCutOff() ? 0 : absences + 1;
          if (absences < 2) {
            checkAgent();
          } else {
            ending.endIf(() -> !guest.connected() && !isCutOff(), SandboxEnd.Reason.AGENT_LOST);
          }
        });
  }

  @Override
  public void goodbye(String reason) {
    ending.goodbye(reason);
  }

  /** What the kernel of another machine does is not seen from here. */
  @Override
  public long outOfMemoryKills() {
    return 0;
  }

  @Override
  public ExecutionEnd.Reason whyLost() {
    return ending.whyLost();
  }

  @Override
  public boolean outlivesConnections() {
    return true;
  }

  @Override
  public boolean isCutOff() {
    return life.isCutOff();
  }

  @Override
  public boolean isEnding() {
    return ending.isStopping();
  }

  @Override
  public boolean isLetGo() {
    return ending.isLetGo();
  }

  @Override
  public boolean isPaused() {
    return life.paused();
  }

  @Override
  public void requireRunning() {
    ending.requireRunning();
  }
}
