package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineContext;
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
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A running container and the link to its agent. */
final class LocalSandbox implements EngineSandbox, AgentLink.Events, LocalExecution.Host {

  private static final Logger logger = LoggerFactory.getLogger(LocalSandbox.class);

  /** The most a request may carry: source, stdin and variables together. */
  static final int MAX_REQUEST_BYTES = 64 * 1024 * 1024;

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
  private final AgentLink link;
  private final LocalFiles files;
  private final LocalContexts contexts;
  private final Set<Language> languages;
  private final Teardown teardown;

  /** What runs, to be let go of with the sandbox. */
  private final Set<LocalExecution> executions = ConcurrentHashMap.newKeySet();

  /** Held while the sandbox is ended, paused, resumed or renewed, so that these take turns. */
  private final ReentrantLock ending = new ReentrantLock();

  private volatile boolean stopping;
  private volatile boolean letGo;
  private volatile String goodbye = "";

  // Guarded by this.
  private Optional<UsageReading> last = Optional.empty();
  private Optional<SandboxEnd> end = Optional.empty();
  private List<Consumer<SandboxEnd>> callbacks = new ArrayList<>();

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
    try {
      link = new AgentLink(folder, agentUid, this);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "cannot listen for the agent in " + folder, e);
    }
    files = new LocalFiles(link, patience, this::requireAwake);
    contexts = new LocalContexts(contextsFile, link, this::requireAwake, languages);
  }

  @Override
  public SandboxId id() {
    return id;
  }

  @Override
  public long generation() {
    return generation;
  }

  /** Waits for the agent's first word. */
  boolean awaitAgent(Duration timeout) {
    return link.awaitControl(timeout);
  }

  /** Gives the agent what every execution begins with. */
  void setUp(Fields environment) {
    link.endUnknown();
    link.send(Frame.SETUP, 0, environment);
    getReady();
  }

  /** Has something wait for the first command. */
  void getReady() {
    link.askForSpare();
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
    requireAwake();
    checkSize(spec);
    Target target = target(spec);
    LocalExecution execution =
        new LocalExecution(spec.id(), 0, listener, this, link, LocalInput.of(spec.stdio()));
    run(
        execution,
        () -> {
          execution.start(spec, target);
          contexts.ended(target);
        });
    return execution;
  }

  @Override
  public List<EngineExecution> takeUp(List<RunningExecution> running) {
    List<EngineExecution> handles = new ArrayList<>();
    for (RunningExecution before : running) {
      LocalExecution execution =
          new LocalExecution(
              before.id(), before.told(), before.listener(), this, link, LocalInput.takenUp());
      CompletableFuture<Connection> dialled = link.expect(before.id().value());
      run(execution, () -> execution.resume(dialled));
      handles.add(execution);
    }
    link.endUnknown();
    return handles;
  }

  private void run(LocalExecution execution, Runnable conversation) {
    Thread.ofVirtual()
        .name("execution-" + execution.id())
        .start(() -> {
          executions.add(execution);
          try {
            conversation.run();
          } finally {
            executions.remove(execution);
          }
        });
  }

  private Target target(ExecutionSpec spec) {
    if (!(spec.run() instanceof ExecutionSpec.Code code)
        || (code.language() == Language.BASH && code.contextId().isEmpty())) {
      return Target.COMMAND;
    }
    if (code.language() != Language.PYTHON) {
      requireNone("workingDirectory", spec.workingDirectory().isPresent());
      requireNone("environment", !spec.environment().isEmpty());
      requireNone("stdin", spec.stdio().stdin().length > 0);
    }
    requireNone("open stdin", spec.stdio().keepsOpen());
    requireNone("terminal", spec.stdio().terminal().isPresent());
    ContextId id = code.contextId().orElseGet(() -> EngineContext.byDefault(code.language()).id());
    return contexts
        .target(id, code.language())
        .orElseThrow(() ->
            new EngineException(
                EngineException.Kind.CONTEXT_GONE,
                "the sandbox has no context " + id + " of " + code.language()));
  }

  private static void requireNone(String field, boolean present) {
    if (present) {
      throw new IllegalArgumentException(
          field + " of code that runs in a context (expected: none)");
    }
  }

  private static void checkSize(ExecutionSpec spec) {
    long bytes = spec.stdio().stdin().length;
    if (spec.run() instanceof ExecutionSpec.Code code) {
      bytes += code.source().getBytes(StandardCharsets.UTF_8).length;
    }
    if (bytes > MAX_REQUEST_BYTES) {
      throw new IllegalArgumentException(
          "source and stdin: " + bytes + " bytes (expected: <= " + MAX_REQUEST_BYTES + ")");
    }
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
      if (!link.connected()) {
        throw new EngineException(
            EngineException.Kind.FAILED, "the sandbox's agent is not connected");
      }
      paidTime.set(paid);
      link.send(Frame.RENEW, paid.toMillis(), new Fields());
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
      getReady();
    } finally {
      ending.unlock();
    }
  }

  /** Thaws, and waits for the agent, which dials anew when the server is another. */
  private void goOn(Duration timeout) {
    pausing.end();
    if (!link.awaitControl(timeout)) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's agent did not answer within " + timeout);
    }
    // A renewal that was on its way when the agent froze has counted from now.
    link.send(Frame.RENEW, paidTime.left().toMillis(), new Fields());
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
      if (!link.connected()) {
        return;
      }
      // What waits for the next command is the user's too, and would be waited for.
      link.dismissIdle();
      Duration left = Duration.ofNanos(Math.max(0, limit - System.nanoTime()));
      link.send(Frame.STOP, left.toMillis(), new Fields());
      awaitEmpty(left.plus(GRACE_SLACK));
    } catch (EngineException e) {
      logger.debug("The agent of {} takes no messages; its sandbox is ended at once", id, e);
    }
  }

  private UsageReading remove() {
    UsageReading reading = teardown.run(id, meter);
    pausing.end();
    link.close();
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
    SandboxEnd known;
    synchronized (this) {
      if (end.isEmpty()) {
        callbacks.add(callback);
        return;
      }
      known = end.get();
    }
    callback.accept(known);
  }

  @Override
  public EngineContexts contexts() {
    return contexts;
  }

  @Override
  public EngineFiles files() {
    return files;
  }

  /** Lets go of the sandbox, which runs on. */
  void close() {
    letGo = true;
    meter.sample();
    meter.save();
    pausing.letGo();
    link.close();
    executions.forEach(LocalExecution::letGo);
  }

  @Override
  public void goodbye(String reason) {
    goodbye = reason;
  }

  @Override
  public void controlLost() {
    if (stopping || letGo) {
      return;
    }
    long limit = System.nanoTime() + REDIAL_TIME.toNanos();
    while (!cgroup.processes().isEmpty() && System.nanoTime() < limit) {
      if (link.connected() || stopping || letGo) {
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
      tell(new SandboxEnd(reason, usage));
    } finally {
      ending.unlock();
    }
  }

  private void tell(SandboxEnd known) {
    List<Consumer<SandboxEnd>> waiting;
    synchronized (this) {
      end = Optional.of(known);
      waiting = callbacks;
      callbacks = new ArrayList<>();
    }
    waiting.forEach(callback -> callback.accept(known));
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
  public boolean open(Target target, String name) {
    return contexts.open(target, name);
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
    long limit = System.nanoTime() + timeout.toNanos();
    while (!cgroup.processes().isEmpty()) {
      if (System.nanoTime() >= limit) {
        return false;
      }
      LockSupport.parkNanos(LOOK_NANOS);
    }
    return true;
  }

  private void requireAwake() {
    requireRunning();
    if (pausing.on()) {
      throw new EngineException(
          EngineException.Kind.PAUSED, "the sandbox is paused; resume it first");
    }
  }

  private void requireRunning() {
    if (stopping || letGo || lastReading().isPresent()) {
      throw new EngineException(EngineException.Kind.FAILED, "the sandbox has ended");
    }
  }
}
