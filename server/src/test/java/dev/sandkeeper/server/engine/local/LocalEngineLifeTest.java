package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Percentage.withPercentage;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
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

  private static final Duration LONG = Duration.ofSeconds(30);

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
  void sameIdTwiceIsRefused() {
    SandboxSpec spec = EngineFixture.spec();
    EngineSandbox sandbox = fixture.engine().create(spec);

    assertThatThrownBy(() -> fixture.engine().create(spec)).isInstanceOf(EngineException.class);
    assertThat(fixture.engine().adopt(spec.id(), 7)).contains(sandbox);
  }

  @Test
  void endedSandboxTakesNoWork() {
    EngineSandbox sandbox = fixture.create();
    sandbox.destroy(Duration.ZERO);

    assertThatThrownBy(() -> sandbox.start(EngineFixture.command(LONG, "true"), new Recording()))
        .isInstanceOf(EngineException.class);
    assertThatThrownBy(() -> sandbox.renew(LONG)).isInstanceOf(EngineException.class);
    assertThatThrownBy(() -> sandbox.files().stat("/")).isInstanceOf(EngineException.class);
  }

  @Test
  void graceLetsProgramsEndThemselves() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(
            EngineFixture.command(
                LONG,
                "bash",
                "-c",
                "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    long before = System.nanoTime();
    UsageReading reading = sandbox.destroy(Duration.ofSeconds(10));

    assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(5));
    assertThat(recording.await().reason()).isIn(Reason.SANDBOX_ENDED, Reason.COMPLETED);
    assertThat(reading.cpuMicros()).isPresent();
  }

  @Test
  void graceEnds() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(
            EngineFixture.command(
                LONG, "bash", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    sandbox.destroy(Duration.ofMillis(300));

    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
  }

  @Test
  void adoptedSandboxKeepsFilesAndVariablesAndUsage() throws Exception {
    SandboxSpec spec = EngineFixture.spec();
    EngineSandbox first = fixture.engine().create(spec);
    EngineFixture.run(first, EngineFixture.python("kept = 5"));
    EngineFixture.run(first, EngineFixture.bash("echo kept > kept"));
    Recording command = new Recording();
    Recording cell = new Recording();
    EngineExecution one = first.start(EngineFixture.command(LONG, "sleep", "305"), command);
    EngineExecution two =
        first.start(
            EngineFixture.of(EngineFixture.python("import time\ntime.sleep(60)"), LONG, ""), cell);
    command.awaitStarted();
    cell.awaitStarted();
    UsageReading before = first.usage();

    fixture.restart();

    assertThat(fixture.engine().list()).containsExactly(new EngineInstance(spec.id(), 7));
    assertThat(fixture.engine().adopt(spec.id(), 8)).isEmpty();
    EngineSandbox again = fixture.engine().adopt(spec.id(), 7).orElseThrow();
    // Nobody wants to hear of the two any more.
    again.takeUp(List.of());
    assertThat(EngineFixture.run(again, EngineFixture.python("kept")).results())
        .containsEntry("text/plain", "5");
    await()
        .until(() ->
            EngineFixture.run(again, EngineFixture.bash("pgrep -x sleep")).stdout().isEmpty());
    assertThat(EngineFixture.run(again, EngineFixture.bash("cat kept; echo $OF_SANDBOX")).stdout())
        .isEqualTo("kept\nyes\n");
    assertThat(command.isFinished()).isFalse();
    assertThat(cell.isFinished()).isFalse();
    UsageReading after = again.usage();
    assertThat(after.cpuMicros().getAsLong())
        .isGreaterThanOrEqualTo(before.cpuMicros().getAsLong());
    assertThat(after.memoryMibMillis().getAsLong())
        .isGreaterThanOrEqualTo(before.memoryMibMillis().getAsLong());
    assertThat(one.id()).isNotEqualTo(two.id());
  }

  @Test
  void unknownIsNotAdopted() {
    assertThat(fixture.engine().adopt(new SandboxId(EngineFixture.name()), 1)).isEmpty();
  }

  @Test
  void forgottenSandboxIsDestroyedByItsId() {
    SandboxSpec spec = EngineFixture.spec();
    EngineSandbox created = fixture.engine().create(spec);
    fixture.restart();

    assertThat(fixture.engine().destroy(created.id()).orElseThrow().cpuMicros()).isPresent();
    assertThat(fixture.engine().list()).isEmpty();
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
  void paidTimeOverIsToldWithTheUsage() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofMillis(800)));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    Recording recording = new Recording();
    EngineExecution ignored = sandbox.start(EngineFixture.command(LONG, "sleep", "306"), recording);

    SandboxEnd told = end.get(20, TimeUnit.SECONDS);

    assertThat(told.reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
    assertThat(told.usage().orElseThrow().cpuMicros()).isPresent();
    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
    assertThat(fixture.engine().list()).isEmpty();
    CompletableFuture<SandboxEnd> late = new CompletableFuture<>();
    sandbox.onEnd(late::complete);
    assertThat(late).isCompletedWithValue(told);
  }

  @Test
  void renewedSandboxLivesOn() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofSeconds(1)));
    sandbox.renew(Duration.ofMinutes(1));

    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("sleep 1.5; echo on")).stdout())
        .isEqualTo("on\n");
  }

  @Test
  void destroyedSandboxTellsNoEnd() {
    EngineSandbox sandbox = fixture.create();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);

    sandbox.destroy(Duration.ofSeconds(5));

    assertThat(end).isNotDone();
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

  @Test
  void processorTimeIsMeteredAsTheGuestSeesIt() throws Exception {
    EngineSandbox sandbox = fixture.create();
    long before = sandbox.usage().cpuMicros().getAsLong();
    Recording recording =
        EngineFixture.run(
            sandbox,
            EngineFixture.python(
                "import time\nwhile time.process_time() < 1.0: pass\ntime.process_time()"));
    long used = sandbox.usage().cpuMicros().getAsLong() - before;

    assertThat(used).isCloseTo(1_000_000, withPercentage(15));
    assertThat(recording.await().cpuMicros().getAsLong()).isCloseTo(1_000_000, withPercentage(5));
  }

  @Test
  void memoryIsMeteredOverTime() throws Exception {
    EngineSandbox sandbox = fixture.create();
    EngineFixture.run(sandbox, EngineFixture.python("held = bytearray(100 << 20)"));
    long start = System.nanoTime();
    long before = sandbox.usage().memoryMibMillis().getAsLong();
    EngineFixture.run(sandbox, EngineFixture.bash("sleep 1.2"));
    long millis = (System.nanoTime() - start) / 1_000_000;
    long used = sandbox.usage().memoryMibMillis().getAsLong() - before;

    assertThat((double) used / millis).isBetween(100.0, 140.0);
  }

  @Test
  void missingRuntimeIsNamedWithWhatToDo() {
    LocalEngineSettings settings =
        new LocalEngineSettings(
            fixture.settings().stateFolder().resolveSibling("other"),
            "no-such-runtime",
            fixture.settings().node(),
            fixture.settings().java(),
            fixture.settings().r(),
            fixture.settings().cgroupRoot(),
            fixture.settings().cgroupParent(),
            Duration.ofSeconds(10),
            Duration.ofMillis(250));

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
            spec.id(), 1, 1, 1, 1, 8, spec.environment(), List.of(), Duration.ofSeconds(10));

    assertThatThrownBy(() -> fixture.engine().create(impossible))
        .isInstanceOf(EngineException.class);
    assertThat(fixture.engine().list()).isEmpty();
    assertThat(fixture.settings().stateFolder().resolve("s")).isEmptyDirectory();
    assertThat(Optional.of(spec.id())).isPresent();
  }
}
