package dev.sandkeeper.server.engine.local;

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
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.engine.guest.EndNotice;
import dev.sandkeeper.server.engine.guest.Guest;
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
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A running container and the link to its agent. */
final class LocalSandbox implements EngineSandbox, GuestHost {

  private static final Logger logger = LoggerFactory.getLogger(LocalSandbox.class);

  private static final Duration REDIAL_TIME = Duration.ofSeconds(5);
  private static final Duration RESUME_TIME = Duration.ofSeconds(5);
  private static final Duration END_TIME = Duration.ofSeconds(2);
  private static final Duration GRACE_SLACK = Duration.ofMillis(200);
  private static final long LOOK_NANOS = 1_000_000;
  private static final String PAID_TIME_OVER = "paid-time-over";

  private final SandboxId id;
  private final long generation;
  private final Cgroup cgroup;
  private final Meter meter;
  private final PaidTime paidTime;
  private final Pausing pausing;
  private final GuestSandbox guest;
  private final EndNotice notice = new EndNotice();
  private final Set<Language> languages;
  private final Teardown teardown;

  /** Held while the sandbox is ended, paused, resumed or renewed, so that these take turns. */
  private final ReentrantLock ending = new ReentrantLock();

  private volatile boolean stopping;
  private volatile boolean letGo;
  private volatile String goodbye = "";

  // Guarded by this.
  private Optional<UsageReading> last = Optional.empty();

  /** Ends a container and removes what is left of it. */
  @FunctionalInterface
  interface Teardown {
    UsageReading run(SandboxId id, Meter meter);
  }

  /**
   * Begins to listen for the agent.
   *
   * @param folder with the socket
   * @param paidTime until when the sandbox is paid
   * @param agentUid the agent's user id in this process's namespace
   * @param contextsFile where its contexts stand
   */
  LocalSandbox(
      SandboxId id,
      long generation,
      Cgroup cgroup,
      Meter meter,
      Path folder,
      PaidTime paidTime,
      Pausing pausing,
      int agentUid,
      Patience patience,
      Path contextsFile,
      Set<Language> languages,
      Teardown teardown) {
    this.id = id;
    this.generation = generation;
    this.cgroup = cgroup;
    this.meter = meter;
    this.paidTime = paidTime;
    this.pausing = pausing;
    this.languages = languages;
    this.teardown = teardown;
    // gVisor opens the socket with the rights of the sandbox's root, over the sandbox's ids only.
    SocketOwner owner = new SocketOwner(agentUid - Guest.AGENT_ID, agentUid);
    guest = new GuestSandbox(folder, owner, this, patience, contextsFile, languages);
  }

  @Override
  public SandboxId id() {
    return id;
  }

  @Override
  public long generation() {
    return generation;
  }

  /** Returns what its agent does. */
  GuestSandbox guest() {
    return guest;
  }

  Cgroup cgroup() {
    return cgroup;
  }

  /** Takes a memory sample. */
  void sample() {
    meter.sample();
  }

  @Override
  public Set<Language> languages() {
    return languages;
  }

  @Override
  public EngineExecution start(ExecutionSpec spec, ExecutionListener listener) {
    return guest.start(spec, listener);
  }

  @Override
  public List<EngineExecution> takeUp(List<RunningExecution> running) {
    return guest.takeUp(running);
  }

  @Override
  public void openNetwork(Consumer<SocketChannel> connections) {
    requireRunning();
    guest.openNetwork(connections);
  }

  @Override
  public UsageReading usage() {
    return meter.read();
  }

  @Override
  public void renew(Duration paid) {
    if (!paid.isPositive()) {
      throw new IllegalArgumentException("paid: " + paid + " (expected: > 0)");
    }
    // Before the lock: a sandbox that is being ended holds it for its grace.
    requireRunning();
    ending.lock();
    try {
      requireRunning();
      if (pausing.on()) {
        paidTime.set(paid);
        pausing.watch(this::watchEnded);
        return;
      }
      if (!guest.connected()) {
        throw new EngineException(
            EngineException.Kind.FAILED, "the sandbox's agent is not connected");
      }
      paidTime.set(paid);
      guest.renew(paid);
    } finally {
      ending.unlock();
    }
  }

  @Override
  public UsageReading pause() {
    requireRunning();
    ending.lock();
    try {
      requireRunning();
      if (!pausing.on()) {
        pausing.begin(this::watchEnded);
      }
      return meter.read();
    } finally {
      ending.unlock();
    }
  }

  @Override
  public void resume() {
    requireRunning();
    ending.lock();
    try {
      requireRunning();
      if (!pausing.on()) {
        return;
      }
      if (paidTime.left().isZero()) {
        // The watch is about to do the same; nothing of it is to run unpaid.
        endedByItself();
        throw new EngineException(
            EngineException.Kind.FAILED, "the sandbox has ended: its paid time is over");
      }
      goOn(RESUME_TIME);
      guest.getReady();
    } finally {
      ending.unlock();
    }
  }

  /** Thaws, and waits for the agent, which dials anew when the server is another. */
  private void goOn(Duration timeout) {
    pausing.end();
    if (!guest.awaitAgent(timeout)) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's agent did not answer within " + timeout);
    }
    // A renewal that was on its way when the agent froze has counted from now.
    guest.renew(paidTime.left());
  }

  @Override
  public boolean paused() {
    return pausing.on();
  }

  /** Takes a sandbox over that an earlier server has paused. */
  void stayPaused() {
    pausing.watch(this::watchEnded);
  }

  /** The watch beside a paused sandbox is gone: the sandbox as well, or else it needs another. */
  private void watchEnded() {
    if (stopping || letGo) {
      return;
    }
    if (awaitEmpty(END_TIME)) {
      endedByItself();
      return;
    }
    ending.lock();
    try {
      if (pausing.on() && !stopping && !letGo) {
        logger.atWarn().addKeyValue("sandbox_id", id).log("The watch of a paused sandbox ended");
        pausing.watch(this::watchEnded);
      }
    } finally {
      ending.unlock();
    }
  }

  @Override
  public UsageReading destroy(Duration grace) {
    stopping = true;
    ending.lock();
    try {
      Optional<UsageReading> before = lastReading();
      if (before.isPresent()) {
        return before.get();
      }
      if (grace.isPositive()) {
        askToStop(grace);
      }
      return remove();
    } finally {
      ending.unlock();
    }
  }

  /** An agent that cannot be asked is no reason to let the sandbox live. */
  private void askToStop(Duration grace) {
    long limit = System.nanoTime() + grace.toNanos();
    try {
      if (pausing.on()) {
        goOn(grace);
      }
      if (!guest.connected()) {
        return;
      }
      Duration left = Duration.ofNanos(Math.max(0, limit - System.nanoTime()));
      guest.stop(left);
      awaitEmpty(left.plus(GRACE_SLACK));
    } catch (EngineException e) {
      logger.debug("The agent of {} takes no messages; its sandbox is ended at once", id, e);
    }
  }

  private UsageReading remove() {
    UsageReading reading = teardown.run(id, meter);
    pausing.end();
    guest.close();
    synchronized (this) {
      last = Optional.of(reading);
    }
    return reading;
  }

  private synchronized Optional<UsageReading> lastReading() {
    return last;
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
    meter.sample();
    meter.save();
    pausing.letGo();
    guest.letGo();
  }

  @Override
  public void goodbye(String reason) {
    goodbye = reason;
  }

  @Override
  public void controlGained() {
    // It knows all it was told: the connection between it and this machine's server does not break.
  }

  @Override
  public void controlLost() {
    if (stopping || letGo) {
      return;
    }
    long limit = System.nanoTime() + REDIAL_TIME.toNanos();
    while (!cgroup.processes().isEmpty() && System.nanoTime() < limit) {
      if (guest.connected() || stopping || letGo) {
        return;
      }
      LockSupport.parkNanos(LOOK_NANOS);
    }
    endedByItself();
  }

  private void endedByItself() {
    ending.lock();
    try {
      if (lastReading().isPresent() || letGo) {
        return;
      }
      SandboxEnd.Reason reason = SandboxEnd.Reason.AGENT_LOST;
      if (goodbye.equals(PAID_TIME_OVER) || (pausing.on() && paidTime.left().isZero())) {
        reason = SandboxEnd.Reason.PAID_TIME_OVER;
      } else if (cgroup.outOfMemoryKills() > 0) {
        reason = SandboxEnd.Reason.OUT_OF_MEMORY;
      }
      Optional<UsageReading> usage;
      try {
        usage = Optional.of(remove());
      } catch (EngineException e) {
        logger
            .atWarn()
            .addKeyValue("sandbox_id", id)
            .setCause(e)
            .log("An ended sandbox could not be removed");
        usage = Optional.of(meter.read());
      }
      notice.tell(new SandboxEnd(reason, usage));
    } finally {
      ending.unlock();
    }
  }

  @Override
  public long outOfMemoryKills() {
    return cgroup.outOfMemoryKills();
  }

  @Override
  public ExecutionEnd.Reason whyLost() {
    boolean ended = stopping || !goodbye.isEmpty() || awaitEmpty(END_TIME);
    return ended ? ExecutionEnd.Reason.SANDBOX_ENDED : ExecutionEnd.Reason.LOST;
  }

  @Override
  public boolean outlivesConnections() {
    return false;
  }

  @Override
  public boolean isCutOff() {
    return pausing.on();
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
    return pausing.on();
  }

  private boolean awaitEmpty(Duration timeout) {
    return Waiting.until(timeout, () -> cgroup.processes().isEmpty());
  }

  @Override
  public void requireRunning() {
    if (stopping || letGo || lastReading().isPresent()) {
      throw new EngineException(EngineException.Kind.FAILED, "the sandbox has ended");
    }
  }
}
