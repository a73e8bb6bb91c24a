package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.UsageReading;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How sandboxes come, are found again, and go. */
class LocalEngineLifeTest {

  private EngineFixture fixture;

  @BeforeEach
  void open() throws Exception {
    fixture = new EngineFixture();
  }

  @AfterEach
  void close() throws Exception {
    fixture.close();
  }

  @Test
  void createdIsListedAndDestroyedLeavesNothing() throws Exception {
    SandboxSpec spec = EngineFixture.spec();
    EngineSandbox sandbox = fixture.engine().create(spec);
    EngineFixture.run(sandbox, EngineFixture.bash("true"));

    assertThat(fixture.engine().list()).containsExactly(new EngineInstance(spec.id(), 7));
    UsageReading reading = sandbox.destroy(Duration.ZERO);

    assertThat(reading.cpuMicros().getAsLong()).isPositive();
    assertThat(reading.peakMemoryBytes().getAsLong()).isGreaterThan(1_000_000);
    assertThat(reading.memoryMibMillis()).isPresent();
    assertThat(sandbox.destroy(Duration.ZERO)).isEqualTo(reading);
    assertThat(sandbox.usage()).isEqualTo(reading);
    assertThat(fixture.engine().list()).isEmpty();
    assertThat(fixture.engine().destroy(spec.id())).isEmpty();
    assertThat(fixture.settings().stateFolder().resolve("s")).isEmptyDirectory();
    assertThat(fixture.settings().stateFolder().resolve("runtime")).isEmptyDirectory();
    assertThat(
            CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent())
                .rangeOf(spec.id()))
        .isEmpty();
  }

  @Test
  void sandboxOutlivesAServerThatIsKilled() throws Exception {
    Path state = Files.createTempDirectory("engine");
    SandboxId id = new SandboxId(EngineFixture.name());
    KilledServer.run(state, id, "running", Duration.ofMinutes(1));

    try (LocalEngine engine = new LocalEngine(LocalEngineSettings.of(state))) {
      EngineSandbox adopted = engine.adopt(id, 3).orElseThrow();
      adopted.takeUp(List.of());
      assertThat(EngineFixture.run(adopted, EngineFixture.python("kept")).results())
          .containsEntry("text/plain", "6");
      adopted.destroy(Duration.ZERO);
      assertThat(engine.list()).isEmpty();
    } finally {
      FileTrees.delete(state);
    }
  }

  @Test
  void paidTimeEndsAnAbandonedSandbox() {
    SandboxSpec spec = EngineFixture.spec(Duration.ofMillis(1500));
    EngineSandbox created = fixture.engine().create(spec);
    fixture.engine().close();
    fixture.restart();
    CgroupTree tree =
        CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    int range = tree.rangeOf(created.id()).orElseThrow();

    await().until(() -> tree.sandbox(range, created.id()).processes().isEmpty());
    // What it used until then can still be read, once.
    assertThat(fixture.engine().adopt(created.id(), 7)).isEmpty();
    assertThat(fixture.engine().list()).hasSize(1);
    assertThat(fixture.engine().destroy(created.id()).orElseThrow().cpuMicros()).isPresent();
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void killedAgentIsTold() throws Exception {
    SandboxSpec spec = EngineFixture.spec();
    EngineSandbox sandbox = fixture.engine().create(spec);
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    CgroupTree tree =
        CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    int range = tree.rangeOf(spec.id()).orElseThrow();

    tree.sandbox(range, spec.id())
        .processes()
        .forEach(pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly));

    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.AGENT_LOST);
    assertThat(fixture.engine().list()).isEmpty();
  }

  private LocalEngineSettings withRuntimes(String runtime, List<String> others) {
    return new LocalEngineSettings(
        fixture.settings().stateFolder().resolveSibling("other"),
        runtime,
        others,
        fixture.settings().node(),
        fixture.settings().java(),
        fixture.settings().r(),
        fixture.settings().cgroupRoot(),
        fixture.settings().cgroupParent(),
        Duration.ofSeconds(10),
        Duration.ofMillis(250));
  }

  @Test
  void runtimesThatAreInstalledAreNamed() {
    LocalEngineSettings settings =
        withRuntimes("crun", List.of("/usr/sbin/runc", "no-such-runtime", "crun"));

    try (LocalEngine engine = new LocalEngine(settings)) {
      assertThat(engine.runtimes()).containsExactly("crun", "runc");
      assertThatExceptionOfType(EngineException.class)
          .isThrownBy(() ->
              engine.create(
                  EngineFixture.spec(Duration.ofMinutes(5), Optional.of("no-such-runtime"))))
          .withMessageContaining("no-such-runtime")
          .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
    }
  }

  /** Its program may have been removed, or the configuration changed. */
  @Test
  void sandboxOfARuntimeThatIsNotThereAnyMoreIsAdoptedAndEnds() throws Exception {
    SandboxSpec spec = EngineFixture.spec(Duration.ofMinutes(5), Optional.of("crun"));
    try (LocalEngine engine = new LocalEngine(withRuntimes("runc", List.of("crun")))) {
      var _ = engine.create(spec);
    }

    try (LocalEngine engine = new LocalEngine(withRuntimes("runc", List.of()))) {
      assertThat(engine.list()).containsExactly(new EngineInstance(spec.id(), 7));
      EngineSandbox adopted = engine.adopt(spec.id(), 7).orElseThrow();
      assertThat(EngineFixture.run(adopted, EngineFixture.bash("echo on")).stdout())
          .isEqualTo("on\n");
      adopted.destroy(Duration.ZERO);
      assertThat(engine.list()).isEmpty();
    }
  }

  @Test
  void missingRuntimeIsNamedWithWhatToDo() {
    LocalEngineSettings settings = withRuntimes("no-such-runtime", List.of());

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> new LocalEngine(settings))
        .withMessageContainingAll("no-such-runtime", "install")
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
  }

  @Test
  void secondEngineOnTheSameFolderIsRefused() {
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> new LocalEngine(fixture.settings()))
        .withMessageContaining("held by another server");
  }

  @Test
  void folderWithALongPathIsRefused() {
    LocalEngineSettings settings = LocalEngineSettings.of(Path.of("/tmp/" + "long".repeat(30)));

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> new LocalEngine(settings))
        .withMessageContaining("too long");
  }

  @Test
  void failedStartLeavesNothing() {
    SandboxSpec spec = EngineFixture.spec();
    SandboxSpec impossible =
        new SandboxSpec(
            spec.id(),
            1,
            Optional.empty(),
            Optional.empty(),
            1,
            1,
            1,
            8,
            spec.environment(),
            List.of(),
            false,
            Duration.ofSeconds(10));

    assertThatThrownBy(() -> fixture.engine().create(impossible))
        .isInstanceOf(EngineException.class);
    assertThat(fixture.engine().list()).isEmpty();
    assertThat(fixture.settings().stateFolder().resolve("s")).isEmptyDirectory();
    assertThat(Optional.of(spec.id())).isPresent();
  }
}
