package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.EngineRecord;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.RemoteEnd;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.engine.guest.Guest;
import dev.sandkeeper.server.engine.guest.GuestSandbox;
import dev.sandkeeper.server.engine.guest.Patience;
import dev.sandkeeper.server.engine.guest.SocketOwner;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs each sandbox at E2B, its cloud or one of one's own, with our agent in it: what it does, it
 * does as in any other engine, over a link through E2B's daemon.
 *
 * <p>E2B keeps the sandboxes; the state folder names this engine among those that use the account,
 * so that each finds its own again.
 */
public final class E2bEngine implements SandboxEngine {
  private static final Logger logger = LoggerFactory.getLogger(E2bEngine.class);

  private static final String NAME = "e2b";

  private static final String SAVED = "sandbox";

  /** In the agent's words. */
  private static final String KERNEL = "linux";

  private static final Duration TRANSFER_PATIENCE = Duration.ofMinutes(2);
  private static final Duration CHECK_TIME = Duration.ofSeconds(10);

  private static final int OK = 200;

  /** How often a sandbox is looked for that may be there. */
  private static final int LOOKS = 4;

  /** As long as an id of a sandbox is. */
  private static final String SOME_ID = "x".repeat(20);

  private final E2bEngineSettings settings;
  private final E2bPlace place;
  private final SocketOwner owner;
  private final HttpCalls http;
  private final ControlApi control;
  private final E2bAgent agent;
  private final ScheduledExecutorService timer;
  private final Patience patience;
  private final Map<SandboxId, E2bSandbox> running = new ConcurrentHashMap<>();

  /** By template, what its sandboxes have; as many as templates, each of which an operator made. */
  private final Map<String, Proven> proved = new ConcurrentHashMap<>();

  /** Of agents in sandboxes that were handed out before. */
  private final Semaphore starts;

  /** What the sandboxes of a template have. */
  private record Proven(long cpuCount, long memoryMib, Set<Language> languages) {}

  /**
   * Takes hold of a state folder. E2B is not called yet.
   *
   * @throws EngineException {@code UNAVAILABLE} when the state folder cannot be used
   */
  public E2bEngine(E2bEngineSettings settings) {
    this.settings = settings;
    GuestSandbox.checkLength(settings.stateFolder().resolve(SOME_ID));
    try {
      Files.createDirectories(settings.stateFolder());
      Files.setPosixFilePermissions(
          settings.stateFolder(), PosixFilePermissions.fromString("rwx------"));
      place = E2bPlace.of(settings.api().apiUrl(), settings.stateFolder());
      owner = SocketOwner.ofThisProcess(settings.stateFolder());
    } catch (IOException | UncheckedIOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE,
          "the state folder " + settings.stateFolder() + " cannot be used",
          e);
    }
    http = new HttpCalls(settings.api().calls().connect());
    control = new ControlApi(settings.api(), http, settings.apiKey(), new SecureRandom());
    agent = new E2bAgent();
    timer =
        Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("e2b-engine-timer").factory());
    patience = new Patience(timer, TRANSFER_PATIENCE);
    starts = new Semaphore(settings.maxStarting());
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public List<String> runtimes() {
    return List.of();
  }

  @Override
  public boolean hasTemplates() {
    return true;
  }

  @Override
  public EngineSandbox create(SandboxSpec spec) {
    SandboxId id = spec.id();
    Path folder = settings.stateFolder().resolve(id.value());
    try {
      Files.createDirectory(folder);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox " + id + " exists already in this engine", e);
    }
    Optional<Session> session = Optional.empty();
    boolean made = false;
    try {
      session = Optional.of(make(spec));
      EngineSandbox sandbox = begin(spec, session.get(), folder);
      made = true;
      return sandbox;
    } finally {
      if (!made) {
        giveUp(session, folder);
      }
    }
  }

  /**
   * Puts the agent in. The first sandbox of a template shows what those of the template have, and
   * that the agent runs there; the others are handed out while their agent starts.
   */
  private EngineSandbox begin(SandboxSpec spec, Session session, Path folder) {
    @Nullable Proven proven = proved.get(template(spec));
    return proven == null
        ? beginNow(spec, session, folder)
        : beginLater(spec, session, folder, proven);
  }

  private EngineSandbox beginNow(SandboxSpec spec, Session session, Path folder) {
    RemoteSandbox found = find(session);
    requireAllocated(spec, found.cpuCount(), found.memoryMib());
    Set<Language> languages = startAgent(session, spec);
    E2bSandbox sandbox = sandbox(spec, session, folder, languages);
    boolean ready = false;
    try {
      sandbox.begin(session, spec, () -> languages, () -> agentLog(session));
      ready = true;
    } finally {
      if (!ready) {
        sandbox.close();
      }
    }
    proved.put(template(spec), new Proven(found.cpuCount(), found.memoryMib(), languages));
    running.put(spec.id(), sandbox);
    return sandbox;
  }

  private EngineSandbox beginLater(SandboxSpec spec, Session session, Path folder, Proven proven) {
    requireAllocated(spec, proven.cpuCount(), proven.memoryMib());
    E2bSandbox sandbox = sandbox(spec, session, folder, proven.languages());
    running.put(spec.id(), sandbox);
    Thread.ofVirtual()
        .name("e2b-begin-" + spec.id())
        .start(() -> {
          starts.acquireUninterruptibly();
          try {
            sandbox.begin(session, spec, () -> prove(session, spec), () -> agentLog(session));
          } catch (RuntimeException e) {
            if (sandbox.failed(e)) {
              // What changed is seen by the next one, which waits for it.
              proved.remove(template(spec));
            }
          } finally {
            starts.release();
          }
        });
    return sandbox;
  }

  /** Starts the agent, in a sandbox that has what was admitted; returns its languages. */
  private Set<Language> prove(Session session, SandboxSpec spec) {
    RemoteSandbox found = find(session);
    requireAllocated(spec, found.cpuCount(), found.memoryMib());
    Set<Language> languages = startAgent(session, spec);
    // A template may have been built anew.
    proved.put(template(spec), new Proven(found.cpuCount(), found.memoryMib(), languages));
    return languages;
  }

  private Set<Language> startAgent(Session session, SandboxSpec spec) {
    Envd envd = new Envd(settings.api(), http, session);
    return inTime(
        "the agent could not be started in the sandbox", () -> agent.start(envd, arguments(spec)));
  }

  private String agentLog(Session session) {
    Envd envd = new Envd(settings.api(), http, session);
    try {
      return HttpCalls.line(inTime("its log", () -> agent.log(envd))).strip();
    } catch (EngineException e) {
      return "what cannot be read: " + e.getMessage();
    }
  }

  /**
   * Waits no longer than a start may take: what E2B has begun to answer may never come.
   *
   * @param what could not be done, should it fail
   */
  private <T> T inTime(String what, Callable<T> call) {
    FutureTask<T> task = new FutureTask<>(call);
    Thread.ofVirtual().name("e2b-call-", 0).start(task);
    try {
      return task.get(settings.startTimeout().toMillis(), TimeUnit.MILLISECONDS);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof E2bException failure) {
        throw E2bFailures.of(what, failure);
      }
      throw new IllegalStateException(what, e.getCause());
    } catch (TimeoutException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, what + ": no answer within " + settings.startTimeout(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new EngineException(EngineException.Kind.FAILED, what + ": interrupted", e);
    } finally {
      task.cancel(true);
    }
  }

  private static List<String> arguments(SandboxSpec spec) {
    return List.of(
        Long.toString(E2bLife.AGENT_LIFE.toMillis()),
        Integer.toString(spec.maxProcesses()),
        Integer.toString(spec.memoryMib()),
        String.join(",", spec.imports()),
        spec.network() ? Integer.toString(Guest.PROXY_PORT) : "",
        KERNEL);
  }

  private RemoteSandbox find(Session session) {
    try {
      return control
          .find(session.sandboxId())
          .orElseThrow(() ->
              new EngineException(
                  EngineException.Kind.FAILED, "the sandbox was gone as soon as it was made"));
    } catch (E2bException e) {
      throw E2bFailures.of("what the sandbox has could not be learned", e);
    }
  }

  /** What E2B allocates it bills; it is to be what was admitted here, and not more or less. */
  private void requireAllocated(SandboxSpec spec, long cpuCount, long memoryMib) {
    if (cpuCount != spec.cpuCores() || memoryMib != spec.memoryMib()) {
      throw new EngineException(
          EngineException.Kind.FAILED,
          "E2B's template "
              + template(spec)
              + " has "
              + cpuCount
              + " cores and "
              + memoryMib
              + " MiB (expected: the sandbox's "
              + spec.cpuCores()
              + " cores and "
              + spec.memoryMib()
              + " MiB)");
    }
  }

  private String template(SandboxSpec spec) {
    return spec.engineTemplate().orElse(settings.template());
  }

  /** Has E2B make a sandbox. One that was made though the answer was lost is found again. */
  private Session make(SandboxSpec spec) {
    Map<String, String> metadata = new HashMap<>(place.metadata());
    metadata.put(E2bPlace.SANDBOX, spec.id().value());
    metadata.put(E2bPlace.GENERATION, Long.toString(spec.generation()));
    NewSandbox wanted =
        new NewSandbox(
            template(spec),
            // For the time that it takes until it is there, which is paid from now on.
            spec.paid(),
            metadata,
            Map.of(),
            false,
            false,
            false);
    try {
      return control.create(wanted);
    } catch (E2bException e) {
      if (!e.mayBeDone()) {
        throw E2bFailures.of("E2B did not make the sandbox", e);
      }
      logger
          .atWarn()
          .addKeyValue("sandbox_id", spec.id())
          .setCause(e)
          .log("E2B did not say whether it made the sandbox; it is looked for");
      return lookFor(metadata)
          .orElseThrow(() -> E2bFailures.of("E2B did not say whether it made the sandbox", e));
    }
  }

  /** Looks for a while; one that appears later still is found when all that runs is listed. */
  private Optional<Session> lookFor(Map<String, String> metadata) {
    Duration wait = settings.api().calls().firstWait();
    for (int look = 0; look < LOOKS; look++) {
      try {
        Thread.sleep(wait);
        Optional<RemoteSandbox> found = control.list(metadata).stream().findFirst();
        if (found.isPresent()) {
          return control.find(found.get().sandboxId()).map(E2bEngine::session);
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return Optional.empty();
      } catch (E2bException | EngineException e) {
        logger.atDebug().setCause(e).log("E2B does not tell what runs");
      }
      wait = wait.multipliedBy(2);
    }
    return Optional.empty();
  }

  private static Session session(RemoteSandbox found) {
    return new Session(
        found.sandboxId(),
        found.templateId(),
        found.envdVersion(),
        found.accessToken(),
        Optional.empty(),
        found.domain(),
        false);
  }

  /** What cannot be ended now is ended when all that runs is listed, or by its time. */
  private void giveUp(Optional<Session> session, Path folder) {
    if (session.isPresent()) {
      try {
        boolean ignored = control.kill(session.get().sandboxId());
      } catch (E2bException | EngineException e) {
        // Also for want of the key: the failure to be told of is the one before.
        logger.atWarn().setCause(e).log("A sandbox that did not start could not be ended yet");
        return;
      }
    }
    remove(folder);
  }

  private E2bSandbox sandbox(
      SandboxSpec spec, Session session, Path folder, Set<Language> languages) {
    SavedSandbox saved = new SavedSandbox(folder.resolve(SAVED), InstantSource.system());
    saved.begin(languages, spec.paid());
    return sandbox(spec.id(), spec.generation(), session, folder, saved);
  }

  private E2bSandbox sandbox(
      SandboxId id, long generation, Session session, Path folder, SavedSandbox saved) {
    String remoteId = session.sandboxId();
    return new E2bSandbox(
        id,
        generation,
        settings,
        folder,
        owner,
        patience,
        saved,
        remoteId,
        gone -> new RemoteHandle(control, http, settings.api(), remoteId, folder, gone),
        () -> {
          running.remove(id);
          remove(folder);
        });
  }

  private static void remove(Path folder) {
    try (var files = Files.newDirectoryStream(folder)) {
      for (Path file : files) {
        Files.deleteIfExists(file);
      }
      Files.deleteIfExists(folder);
    } catch (IOException e) {
      logger.atWarn().addKeyValue("folder", folder).setCause(e).log("A folder stays behind");
    }
  }

  @Override
  public Optional<EngineSandbox> adopt(SandboxId id, long generation) {
    @Nullable E2bSandbox held = running.get(id);
    if (held != null) {
      return held.generation() == generation ? Optional.of(held) : Optional.empty();
    }
    Path folder = settings.stateFolder().resolve(id.value());
    if (!Files.isDirectory(folder)) {
      return Optional.empty();
    }
    SavedSandbox saved = new SavedSandbox(folder.resolve(SAVED), InstantSource.system());
    // One whose agent was never there knows nothing of what it is to begin with.
    boolean usable = saved.begun() && !saved.isUnpaid();
    Optional<RemoteSandbox> found = usable ? find(place, id, generation) : Optional.empty();
    return found.map(one -> adopt(id, generation, one, folder, saved));
  }

  private EngineSandbox adopt(
      SandboxId id, long generation, RemoteSandbox found, Path folder, SavedSandbox saved) {
    Session session = session(found);
    E2bSandbox sandbox = sandbox(id, generation, session, folder, saved);
    boolean adopted = false;
    try {
      if (found.state() == RemoteSandbox.State.PAUSED && !saved.rotating()) {
        sandbox.stayPaused();
      } else {
        sandbox.stayRunning(session, Duration.between(found.startedAt(), Instant.now()));
      }
      running.put(id, sandbox);
      adopted = true;
      return sandbox;
    } catch (EngineException e) {
      // E2B has it, so it is no reason to give it up that it cannot be resumed now: it may be on
      // its way into a pause, or the account full.
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "the sandbox cannot be taken up yet", e);
    } finally {
      if (!adopted) {
        sandbox.close();
      }
    }
  }

  /** Returns a sandbox with what reaches it. */
  private Optional<RemoteSandbox> find(E2bPlace where, SandboxId id, long generation) {
    try {
      return instances(where, id).stream()
          .filter(found -> generation(found) == generation)
          .findFirst()
          .flatMap(found -> control.find(found.sandboxId()));
    } catch (E2bException e) {
      throw E2bFailures.of("E2B does not tell what runs", e);
    }
  }

  private List<RemoteSandbox> instances(E2bPlace where, SandboxId id) {
    Map<String, String> metadata = new HashMap<>(where.metadata());
    metadata.put(E2bPlace.SANDBOX, id.value());
    return control.list(metadata);
  }

  /** Returns the generation that it was created with; 0, which none has, when it does not say. */
  private static long generation(RemoteSandbox found) {
    try {
      return Long.parseLong(found.metadata().getOrDefault(E2bPlace.GENERATION, "0"));
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  @Override
  public List<EngineInstance> list() {
    try {
      return control.list(place.metadata()).stream()
          .flatMap(found -> instance(found).stream())
          .toList();
    } catch (E2bException e) {
      throw E2bFailures.of("E2B does not tell what runs", e);
    }
  }

  /** One that another user of the account has given our name keeps no other from being listed. */
  private static Optional<EngineInstance> instance(RemoteSandbox found) {
    String id = found.metadata().getOrDefault(E2bPlace.SANDBOX, "");
    try {
      return Optional.of(new EngineInstance(new SandboxId(id), generation(found)));
    } catch (IllegalArgumentException e) {
      logger.atWarn().addKeyValue("sandbox", found).log("A sandbox at E2B has no id of ours");
      return Optional.empty();
    }
  }

  @Override
  public Optional<UsageReading> destroy(SandboxId id) {
    @Nullable E2bSandbox held = running.get(id);
    if (held != null) {
      return Optional.of(held.destroy(Duration.ZERO));
    }
    boolean ended = end(place, id);
    Path folder = settings.stateFolder().resolve(id.value());
    if (Files.isDirectory(folder)) {
      remove(folder);
    }
    return ended ? Optional.of(UsageReading.NOTHING) : Optional.empty();
  }

  private boolean end(E2bPlace where, SandboxId id) {
    try {
      boolean any = false;
      for (RemoteSandbox found : instances(where, id)) {
        any |= control.kill(found.sandboxId());
      }
      return any;
    } catch (E2bException | EngineException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox could not be ended: " + e.getMessage(), e);
    }
  }

  @Override
  public boolean keepsRecords() {
    return settings.api().isCloud();
  }

  @Override
  public Optional<EngineRecord> record(String remoteId) {
    try {
      return SessionTimes.fold(control.events(remoteId));
    } catch (E2bException e) {
      if (e.kind() == E2bException.Kind.BROKEN && e.status() == OK) {
        // It would say of another sandbox.
        throw new EngineException(
            EngineException.Kind.FAILED, "E2B's record of a sandbox cannot be read", e);
      }
      throw E2bFailures.of("E2B does not tell how long a sandbox ran", e);
    }
  }

  @Override
  public String place() {
    return place.toString();
  }

  @Override
  public RemoteEnd end(SandboxId id, String where) {
    Optional<E2bPlace> other =
        E2bPlace.parse(where).filter(found -> found.apiUrl().equals(place.apiUrl()));
    if (other.isEmpty()) {
      return new RemoteEnd.OutOfReach();
    }
    boolean ended = end(other.get(), id);
    return new RemoteEnd.Gone(ended ? Optional.of(UsageReading.NOTHING) : Optional.empty());
  }

  /**
   * Proves that E2B takes calls with the key.
   *
   * @throws EngineException {@code UNAVAILABLE} when it does not
   */
  @Override
  public void check() {
    try {
      var ignored = control.within(CHECK_TIME).list(Map.of(E2bPlace.OWNER, "nobody"));
    } catch (E2bException e) {
      if (e.kind() == E2bException.Kind.RATE_LIMITED) {
        // It answers; that others of the account ask much is no reason to ask nothing.
        return;
      }
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "E2B does not answer: " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
    // Each may wait for E2B to end its relay.
    try (ExecutorService closing = Executors.newVirtualThreadPerTaskExecutor()) {
      running.values().forEach(sandbox -> closing.execute(sandbox::close));
    }
    running.clear();
    http.close();
  }
}
