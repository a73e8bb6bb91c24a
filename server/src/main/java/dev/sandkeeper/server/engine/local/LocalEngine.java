package dev.sandkeeper.server.engine.local;

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
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs each sandbox as an OCI container on this machine.
 *
 * <p>Its state folder names the place: one engine object at a time holds it, and a later one finds
 * the sandboxes of an earlier one, also of one that was killed.
 *
 * <p>A sandbox's disk is memory: a file system of {@code diskMib} whose content counts against
 * {@code memoryMib} as well, so a sandbox that fills its disk has that much less for programs.
 */
public final class LocalEngine implements SandboxEngine {

  private static final Logger logger = LoggerFactory.getLogger(LocalEngine.class);

  private static final String NAME = "local";

  /** Of the host's Python the one in /usr is bound into sandboxes. */
  private static final String PYTHON = "/usr/bin/python3";

  private static final Duration ADOPT_TIMEOUT = Duration.ofSeconds(5);
  private static final Duration NEIGHBOUR_PATIENCE = Duration.ofSeconds(5);
  private static final Duration KILL_TIMEOUT = Duration.ofSeconds(10);
  private static final Duration TRANSFER_PATIENCE = Duration.ofMinutes(2);

  /** Much longer than a start takes, during which a claimed range is empty. */
  private static final Duration FORGOTTEN_AGE = Duration.ofMinutes(5);

  private static final long LOOK_NANOS = 500_000;

  /** Network sockets may have this part of a sandbox's memory, where it is counted apart. */
  private static final long SOCKET_PART_OF_MEMORY = 8;

  private final LocalEngineSettings settings;
  private final FileChannel lockFile;
  private final CgroupTree tree;
  private final IdRanges ranges;
  private final List<Path> programs;
  private final OciRuntimes runtimes;
  private final LocalPlace place;
  private final OciConfig config;
  private final Skeleton skeleton;
  private final List<String> watchProgram;
  private final Set<Language> languages;
  private final StateFolder state;
  private final ScheduledExecutorService timer;
  private final ScheduledFuture<?> sampling;
  private final Patience patience;
  private final CpuTurns turns =
      new CpuTurns(Runtime.getRuntime().availableProcessors(), System::nanoTime);
  private final Map<SandboxId, LocalSandbox> running = new ConcurrentHashMap<>();

  /**
   * Takes hold of a place.
   *
   * @param settings where it is and how to run
   * @throws EngineException {@code UNAVAILABLE} when the machine or this process is not prepared,
   *     the runtime is missing, or another engine holds the state folder; the message says what to
   *     do
   */
  public LocalEngine(LocalEngineSettings settings) {
    this.settings = settings;
    programs = OciRuntimes.find(settings);
    String python =
        Programs.require(PYTHON, "the agent inside sandboxes needs it: apt-get install python3")
            .toString();
    Interpreters interpreters = Interpreters.find(settings);
    languages = interpreters.languages();
    tree = CgroupTree.detect(settings.cgroupRoot(), settings.cgroupParent());
    ranges = IdRanges.ofThisProcess(tree, Path.of("/proc/self"));
    state = new StateFolder(settings.stateFolder());
    place = LocalPlace.of(tree, state.path());
    GuestSandbox.checkLength(state.sandboxes().resolve("x".repeat(20)).resolve("link"));
    try {
      Files.createDirectories(state.sandboxes());
      for (RuntimeKind kind : RuntimeKind.values()) {
        Files.createDirectories(state.runtime(kind));
      }
      Files.setPosixFilePermissions(state.path(), PosixFilePermissions.fromString("rwx------"));
      lockFile = lock(state);
      Files.write(state.launcher(), Resources.bytes("launch.sh"));
      watchProgram = watchProgram(state.path());
      skeleton = Skeleton.build(state.path().resolve("skeleton"), Path.of("/"), python);
      runtimes = new OciRuntimes(programs, state);
    } catch (IOException | UncheckedIOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE,
          "the state folder " + state.path() + " cannot be used",
          e);
    }
    config = new OciConfig(skeleton, interpreters);
    timer =
        Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("local-engine-timer").factory());
    patience = new Patience(timer, TRANSFER_PATIENCE);
    removeLeftovers();
    tree.releaseForgotten(Instant.now().minus(FORGOTTEN_AGE));
    long nanos = settings.sampleInterval().toNanos();
    sampling = timer.scheduleAtFixedRate(this::sample, nanos, nanos, TimeUnit.NANOSECONDS);
  }

  /** Apart from the terminal, whose keys are not to end it with the server. */
  private static List<String> watchProgram(Path state) throws IOException {
    Path script = state.resolve("watch.sh");
    Files.write(script, Resources.bytes("watch.sh"));
    Path setsid = Programs.require("setsid", "it comes with the package util-linux");
    return List.of(setsid.toString(), "/bin/sh", script.toString());
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public List<String> runtimes() {
    return runtimes.names();
  }

  @Override
  public boolean hasTemplates() {
    return false;
  }

  @Override
  public boolean keepsRecords() {
    return false;
  }

  @Override
  public Optional<EngineRecord> record(String remoteId) {
    return Optional.empty();
  }

  @Override
  public void check() {
    if (!Files.isWritable(state.sandboxes())) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE,
          "the state folder " + state.path() + " cannot be written to");
    }
    for (Path program : programs) {
      if (!Files.isExecutable(program)) {
        throw new EngineException(
            EngineException.Kind.UNAVAILABLE, "the runtime " + program + " cannot be run");
      }
    }
  }

  @Override
  public EngineSandbox create(SandboxSpec spec) {
    SandboxId id = spec.id();
    if (spec.engineTemplate().isPresent()) {
      throw new EngineException(
          EngineException.Kind.FAILED,
          "engineTemplate: " + spec.engineTemplate().get() + " (expected: none)");
    }
    OciRuntime runtime = runtimes.of(spec.runtime());
    if (Files.exists(state.sandbox(id))) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox " + id + " exists already in this engine");
    }
    int range = ranges.claim();
    boolean made = false;
    try {
      EngineSandbox sandbox = start(spec, runtime, range);
      made = true;
      return sandbox;
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's folder could not be made", e);
    } finally {
      if (!made) {
        removeFailed(id, range);
      }
    }
  }

  private EngineSandbox start(SandboxSpec spec, OciRuntime runtime, int range) throws IOException {
    SandboxId id = spec.id();
    Path folder = state.sandbox(id);
    Path link = folder.resolve("link");
    Files.createDirectories(link);
    long firstId = ranges.firstId(range);
    RuntimeKind kind = runtime.kind();
    GroupLimits limits = GroupLimits.of(spec, kind, tree.limitsSwap());
    Files.writeString(
        state.config(id),
        config.render(spec, kind, range, firstId, tree.pathOf(range, id), limits));
    Cgroup cgroup = tree.sandbox(range, id);
    List<Path> groups = kind.makesGroups() ? List.of() : cgroup.make(limits);
    new PaidTime(link, System::nanoTime).set(spec.paid());
    LocalSandbox sandbox = sandbox(id, spec.generation(), range, cgroup);
    boolean ready = false;
    try {
      runtime.run(id, folder, skeleton.folder(), firstId + Guest.USER_ID, spec.diskMib(), groups);
      cgroup.limitSocketMemory(spec.memoryBytes() / SOCKET_PART_OF_MEMORY);
      if (cgroup.processes().isEmpty() || !sandbox.guest().awaitAgent(settings.startTimeout())) {
        throw new EngineException(
            EngineException.Kind.FAILED,
            "the sandbox's agent did not answer within "
                + settings.startTimeout()
                + ": "
                + OciRuntime.tail(folder.resolve("launch.log")));
      }
      sandbox.guest().setUp(spec);
      sandbox.sample();
      ready = true;
    } finally {
      if (!ready) {
        sandbox.close();
      }
    }
    running.put(id, sandbox);
    return sandbox;
  }

  private LocalSandbox sandbox(SandboxId id, long generation, int range, Cgroup cgroup) {
    Path link = state.sandbox(id).resolve("link");
    PaidTime paid = new PaidTime(link, System::nanoTime);
    PaidTimeWatch watch = new PaidTimeWatch(watchProgram, paid, cgroup.freezer());
    return new LocalSandbox(
        id,
        generation,
        cgroup,
        new Meter(cgroup, state.meter(id), System::nanoTime),
        link,
        paid,
        new Pausing(cgroup, watch),
        Math.toIntExact(ranges.firstId(range) + Guest.AGENT_ID),
        patience,
        state.contexts(id),
        languages,
        (ended, meter) -> {
          UsageReading reading = tearDown(ended, range, meter);
          running.remove(ended);
          return reading;
        });
  }

  @Override
  public Optional<EngineSandbox> adopt(SandboxId id, long generation) {
    @Nullable LocalSandbox held = running.get(id);
    if (held != null) {
      return held.generation() == generation ? Optional.of(held) : Optional.empty();
    }
    Optional<OciConfig.Written> written =
        written(id).filter(found -> found.generation() == generation);
    if (written.isEmpty()) {
      return Optional.empty();
    }
    int range = written.get().range();
    Cgroup cgroup = tree.sandbox(range, id);
    if (cgroup.processes().isEmpty()) {
      return Optional.empty();
    }
    LocalSandbox sandbox = sandbox(id, generation, range, cgroup);
    if (sandbox.paused()) {
      sandbox.stayPaused();
    } else if (sandbox.guest().awaitAgent(ADOPT_TIMEOUT)) {
      sandbox.guest().getReady();
    } else {
      sandbox.close();
      return Optional.empty();
    }
    sandbox.sample();
    running.put(id, sandbox);
    return Optional.of(sandbox);
  }

  @Override
  public List<EngineInstance> list() {
    List<EngineInstance> instances = new ArrayList<>();
    try (DirectoryStream<Path> folders = Files.newDirectoryStream(state.sandboxes())) {
      for (Path folder : folders) {
        SandboxId id = new SandboxId(folder.getFileName().toString());
        written(id)
            .ifPresent(written -> instances.add(new EngineInstance(id, written.generation())));
      }
    } catch (IOException | DirectoryIteratorException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE,
          "cannot see what runs: the state folder " + state.path() + " cannot be read",
          e);
    }
    return instances;
  }

  /** Returns what is known of a sandbox that got as far as its runtime. */
  private Optional<OciConfig.Written> written(SandboxId id) {
    return state.started(id) ? OciConfig.read(state.config(id)) : Optional.empty();
  }

  @Override
  public Optional<UsageReading> destroy(SandboxId id) {
    @Nullable LocalSandbox held = running.get(id);
    if (held != null) {
      return Optional.of(held.destroy(Duration.ZERO));
    }
    OptionalInt range = tree.rangeOf(id);
    if (range.isEmpty() && !Files.exists(state.sandbox(id))) {
      return Optional.empty();
    }
    if (range.isEmpty()) {
      // Its group is gone, so nothing runs and nothing can be read.
      remove(id, runtimes, state.sandbox(id));
      return Optional.empty();
    }
    Cgroup cgroup = tree.sandbox(range.getAsInt(), id);
    Meter meter = new Meter(cgroup, state.meter(id), System::nanoTime);
    return Optional.of(tearDown(id, range.getAsInt(), meter));
  }

  @Override
  public String place() {
    return place.toString();
  }

  @Override
  public RemoteEnd end(SandboxId id, String where) {
    Optional<LocalPlace> other =
        LocalPlace.parse(where).filter(found -> found.groups().equals(place.groups()));
    if (other.isEmpty()) {
      return new RemoteEnd.OutOfReach();
    }
    if (other.get().equals(place)) {
      return new RemoteEnd.Gone(destroy(id));
    }
    return new Neighbour(tree, programs, new StateFolder(other.get().state())).end(id);
  }

  @Override
  public void close() {
    sampling.cancel(false);
    timer.shutdownNow();
    running.values().forEach(LocalSandbox::close);
    running.clear();
    try {
      lockFile.close();
    } catch (IOException e) {
      logger.atWarn().setCause(e).log("Cannot give the state folder back");
    }
  }

  private static FileChannel lock(StateFolder state) throws IOException {
    FileChannel channel =
        FileChannel.open(state.lock(), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    @Nullable FileLock lock = null;
    // Another server may just be ending what the one before left here.
    long limit = System.nanoTime() + NEIGHBOUR_PATIENCE.toNanos();
    try {
      lock = channel.tryLock();
      while (lock == null && System.nanoTime() - limit < 0) {
        LockSupport.parkNanos(LOOK_NANOS);
        lock = channel.tryLock();
      }
    } catch (OverlappingFileLockException e) {
      logger.atDebug().log("The state folder is held within this process");
    }
    if (lock == null) {
      channel.close();
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE,
          "the state folder "
              + state.path()
              + " is held by another server; stop it or configure another folder");
    }
    return channel;
  }

  /** Kills first, waits, and only then asks the runtime to remove: its own forced way sleeps. */
  private UsageReading tearDown(SandboxId id, int range, Meter meter) {
    // Read before the end too: memory of ended processes is no longer there to be sampled.
    meter.sample();
    kill(id, tree.sandbox(range, id));
    UsageReading reading = meter.finish();
    remove(id, runtimes, state.sandbox(id));
    tree.release(range, Optional.of(id));
    return reading;
  }

  /** Kills every process of a sandbox, and returns when none is left. */
  static void kill(SandboxId id, Cgroup cgroup) {
    long limit = System.nanoTime() + KILL_TIMEOUT.toNanos();
    Freezer freezer = cgroup.freezer();
    List<Long> processes = cgroup.processes();
    while (!processes.isEmpty()) {
      for (long pid : processes) {
        ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
      }
      // With version 1 what is frozen dies of that once it is thawed, and does not run before.
      freezer.thaw();
      if (System.nanoTime() >= limit) {
        throw new EngineException(
            EngineException.Kind.FAILED,
            "processes of the sandbox " + id + " did not end within " + KILL_TIMEOUT);
      }
      LockSupport.parkNanos(LOOK_NANOS);
      processes = cgroup.processes();
    }
    // A frozen group stays so when it is empty, and runtimes do not remove it then.
    freezer.thaw();
  }

  /** Removes what is kept of a sandbox without processes. */
  static void remove(SandboxId id, OciRuntimes runtimes, Path folder) {
    runtimes.delete(id);
    try {
      FileTrees.delete(folder);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the folder of the sandbox " + id + " is still there", e);
    }
  }

  private void removeFailed(SandboxId id, int range) {
    try {
      kill(id, tree.sandbox(range, id));
      remove(id, runtimes, state.sandbox(id));
      tree.release(range, Optional.of(id));
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("A sandbox that did not start could not be removed");
    }
  }

  /** Removes what a killed server left of sandboxes that never got as far as the runtime. */
  private void removeLeftovers() {
    try (DirectoryStream<Path> folders = Files.newDirectoryStream(state.sandboxes())) {
      for (Path folder : folders) {
        SandboxId id = new SandboxId(folder.getFileName().toString());
        if (!state.started(id)) {
          destroy(id);
        }
      }
    } catch (IOException | IllegalArgumentException | EngineException e) {
      logger.atWarn().setCause(e).log("Leftovers of sandboxes could not be removed");
    }
  }

  private void sample() {
    for (LocalSandbox sandbox : running.values()) {
      try {
        sandbox.sample();
      } catch (RuntimeException e) {
        logger
            .atWarn()
            .addKeyValue("sandbox_id", sandbox.id())
            .setCause(e)
            .log("A memory sample failed");
      }
    }
    Map<SandboxId, Cgroup> cgroups = new HashMap<>();
    running.forEach((id, sandbox) -> cgroups.put(id, sandbox.cgroup()));
    turns.look(cgroups);
  }
}
