package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.Difference;
import dev.sandkeeper.server.engine.EngineContract;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.engine.guest.Guest;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The contract on one of the local engine's runtimes. */
abstract class LocalEngineContract extends EngineContract {

  private final String runtime;
  private final Path folder;

  LocalEngineContract(String runtime, Difference... differences) throws Exception {
    super(Optional.of(runtime), Set.of(differences));
    this.runtime = runtime;
    folder = Files.createTempDirectory("engine");
  }

  @Test
  void allOfASandboxIsInItsGroupsWithTheirLimits() throws Exception {
    EngineSandbox sandbox = create();
    int range = tree().rangeOf(sandbox.id()).orElseThrow();
    Path group = Path.of(tree().pathOf(range, sandbox.id()).substring(1));
    LocalEngineSettings settings = settings();
    int perProcess = RuntimeKind.of(Path.of(runtime)).threadsPerProcess();
    String processes = Integer.toString(perProcess * (64 + Guest.AGENT_PROCESSES));
    // What starts or ends meanwhile would be seen in some groups only.
    sandbox.pause();

    assertThat(tree().sandbox(range, sandbox.id()).processes()).isNotEmpty();
    if (tree().unified()) {
      Path folder = settings.cgroupRoot().resolve(group);
      assertThat(folder.resolve("memory.max")).hasContent("268435456");
      assertThat(folder.resolve("cpu.max")).hasContent("200000 100000");
      assertThat(folder.resolve("pids.max")).hasContent(processes);
    } else {
      assertThat(file("memory", group, "memory.limit_in_bytes")).hasContent("268435456");
      assertThat(file("cpu", group, "cpu.cfs_quota_us")).hasContent("200000");
      assertThat(file("pids", group, "pids.max")).hasContent(processes);
      List<Long> all = CgroupFiles.processes(file("pids", group, ""));
      for (String controller : List.of("memory", "cpu", "cpuacct", "freezer")) {
        assertThat(CgroupFiles.processes(file(controller, group, "")))
            .as(controller)
            .containsExactlyInAnyOrderElementsOf(all);
      }
    }
  }

  private Path file(String controller, Path group, String name) {
    return settings().cgroupRoot().resolve(controller).resolve(group).resolve(name);
  }

  /** So that a short execution elsewhere does not wait behind it. */
  @Test
  void aSandboxThatSpinsGivesWayUntilItStops() throws Exception {
    EngineSandbox sandbox = create();
    EngineSandbox neighbour = create();
    Recording spins = new Recording();
    EngineExecution spinner =
        sandbox.start(
            Requests.command(Duration.ofMinutes(2), "sh", "-c", "while :; do :; done"), spins);

    // As much as this machine has left for it is not always much.
    await().atMost(Duration.ofMinutes(1)).until(() -> givesWay(sandbox));
    assertThat(givesWay(neighbour)).isFalse();

    spinner.signal(9);
    spins.await();
    await().until(() -> !givesWay(sandbox));
  }

  private boolean givesWay(EngineSandbox sandbox) {
    int range = tree().rangeOf(sandbox.id()).orElseThrow();
    Path group = Path.of(tree().pathOf(range, sandbox.id()).substring(1));
    Path beside = Objects.requireNonNull(group.getParent());
    Path folder =
        tree().unified()
            ? settings().cgroupRoot().resolve(beside)
            : settings().cgroupRoot().resolve("cpu").resolve(beside);
    OptionalLong idle = CgroupFiles.number(folder.resolve("cpu.idle"));
    if (idle.isPresent()) {
      return idle.getAsLong() == 1;
    }
    Path weight = folder.resolve(tree().unified() ? "cpu.weight" : "cpu.shares");
    return CgroupFiles.number(weight).orElseThrow() < (tree().unified() ? 100 : 1024);
  }

  @Test
  void nothingIsLeftOfAnEndedSandbox() throws Exception {
    EngineSandbox sandbox = create();
    Requests.run(sandbox, Requests.bash("true"));

    sandbox.destroy(Duration.ZERO);

    StateFolder state = new StateFolder(settings().stateFolder());
    assertThat(state.sandbox(sandbox.id())).doesNotExist();
    for (RuntimeKind kind : RuntimeKind.values()) {
      try (Stream<Path> files = Files.list(state.runtime(kind))) {
        assertThat(files).noneMatch(file -> file.toString().contains(sandbox.id().value()));
      }
    }
    assertThat(tree().rangeOf(sandbox.id())).isEmpty();
  }

  /** What a runtime starts stays on the host; the server's environment may have passwords. */
  @Test
  void nothingOfTheServersEnvironmentIsPassedOn() throws Exception {
    String own = "HOME=" + System.getenv("HOME");
    EngineSandbox sandbox = create();
    int range = tree().rangeOf(sandbox.id()).orElseThrow();
    sandbox.pause();

    assertThat(System.getenv()).containsKey("HOME");
    for (long pid : tree().sandbox(range, sandbox.id()).processes()) {
      Path environment = Path.of("/proc", Long.toString(pid), "environ");
      assertThat(Files.readString(environment, StandardCharsets.ISO_8859_1)).doesNotContain(own);
    }
  }

  private CgroupTree tree() {
    return CgroupTree.detect(settings().cgroupRoot(), settings().cgroupParent());
  }

  private LocalEngineSettings settings() {
    return LocalEngineSettings.of(folder.resolve("state"));
  }

  @Override
  protected SandboxEngine open() {
    return new LocalEngine(settings());
  }

  @Override
  protected void removePlace() throws Exception {
    FileTrees.delete(folder);
  }
}
