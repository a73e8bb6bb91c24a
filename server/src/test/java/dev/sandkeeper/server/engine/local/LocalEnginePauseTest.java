package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.UsageReading;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How a sandbox is held still, goes on, and ends meanwhile. */
class LocalEnginePauseTest {

  private static final Duration LONG = Duration.ofSeconds(30);

  /** Some hundred milliseconds of a sandbox's memory. */
  private static final long SOME_TIME = 1_500;

  private static final String COUNTER = "i=0; while :; do echo $i; i=$((i + 1)); sleep 0.005; done";

  private EngineFixture fixture;

  @BeforeEach
  void open() throws Exception {
    fixture = new EngineFixture();
  }

  @AfterEach
  void close() throws Exception {
    fixture.close();
  }

  private static Recording startBash(EngineSandbox sandbox, String source) throws Exception {
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(EngineFixture.of(EngineFixture.bash(source), LONG, ""), recording);
    recording.awaitStarted();
    return recording;
  }

  /** Waits until memory was metered for a while, which does not take a running program. */
  private static UsageReading laterUsage(EngineSandbox sandbox) {
    long before = sandbox.usage().memoryMibMillis().getAsLong();
    await().until(() -> sandbox.usage().memoryMibMillis().getAsLong() > before + SOME_TIME);
    return sandbox.usage();
  }

  private static void assertPaused(ThrowingCallable call) {
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(call)
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.PAUSED));
  }

  private Cgroup cgroup(SandboxId id) {
    CgroupTree tree =
        CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    return tree.sandbox(tree.rangeOf(id).orElseThrow(), id);
  }

  @Test
  void programsStandStillAndGoOnWithoutLoss() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording counter = startBash(sandbox, COUNTER);
    await().until(() -> counter.stdout().length() > 20);

    UsageReading paused = sandbox.pause();

    assertThat(sandbox.paused()).isTrue();
    // What was in the pipes has arrived by then.
    UsageReading later = laterUsage(sandbox);
    String output = counter.stdout();
    UsageReading latest = laterUsage(sandbox);
    assertThat(counter.stdout()).isEqualTo(output);
    assertThat(later.cpuMicros()).isEqualTo(paused.cpuMicros());
    assertThat(latest.cpuMicros()).isEqualTo(paused.cpuMicros());

    sandbox.resume();

    assertThat(sandbox.paused()).isFalse();
    await().until(() -> counter.stdout().length() > output.length() + 50);
    sandbox.destroy(Duration.ZERO);
    counter.await();
    List<String> lines = counter.stdout().lines().toList();
    assertThat(lines.subList(0, lines.size() - 1))
        .isEqualTo(IntStream.range(0, lines.size() - 1).mapToObj(Integer::toString).toList());
  }

  @Test
  void pauseAndResumeAreIdempotent() throws Exception {
    EngineSandbox sandbox = fixture.create();
    sandbox.resume();

    UsageReading first = sandbox.pause();
    UsageReading second = sandbox.pause();
    assertThat(second.cpuMicros()).isEqualTo(first.cpuMicros());
    assertThat(sandbox.paused()).isTrue();

    sandbox.resume();
    sandbox.resume();
    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("echo on")).stdout())
        .isEqualTo("on\n");
  }

  @Test
  void pausedSandboxTakesNoWork() {
    EngineSandbox sandbox = fixture.create();
    sandbox.pause();

    assertPaused(() -> sandbox.start(EngineFixture.command(LONG, "true"), new Recording()));
    assertPaused(() -> sandbox.files().stat("/"));
    assertPaused(() -> sandbox.files().write("file", 10));
  }

  @Test
  void endedSandboxIsNeitherPausedNorResumed() {
    EngineSandbox sandbox = fixture.create();
    sandbox.destroy(Duration.ZERO);

    assertThatExceptionOfType(EngineException.class).isThrownBy(sandbox::pause);
    assertThatExceptionOfType(EngineException.class).isThrownBy(sandbox::resume);
    assertThat(sandbox.paused()).isFalse();
  }

  @Test
  void variablesAndFilesOutlastAPause() throws Exception {
    EngineSandbox sandbox = fixture.create();
    EngineFixture.run(sandbox, EngineFixture.python("kept = 8"));
    EngineFixture.run(sandbox, EngineFixture.bash("echo kept > kept"));

    sandbox.pause();
    sandbox.resume();

    assertThat(EngineFixture.run(sandbox, EngineFixture.python("kept")).results())
        .containsEntry("text/plain", "8");
    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("cat kept")).stdout())
        .isEqualTo("kept\n");
  }

  @Test
  void fileThatIsBeingWrittenIsGoneOnWith() throws Exception {
    EngineSandbox sandbox = fixture.create();
    try (EngineFiles.FileWriter writer = sandbox.files().write("file", 100)) {
      writer.append(ByteBuffer.wrap("before ".getBytes(StandardCharsets.UTF_8)));
      sandbox.pause();
      writer.append(ByteBuffer.wrap("meanwhile".getBytes(StandardCharsets.UTF_8)));
      sandbox.resume();
      writer.commit();
    }

    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("cat file")).stdout())
        .isEqualTo("before meanwhile");
  }

  @Test
  void deadlineThatPassesMeanwhileEndsTheProgramAtResume() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(EngineFixture.command(Duration.ofMillis(300), "sleep", "308"), recording);
    recording.awaitStarted();

    sandbox.pause();
    laterUsage(sandbox);
    assertThat(recording.isFinished()).isFalse();
    sandbox.resume();

    assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
  }

  @Test
  void pausedSandboxIsDestroyedAtOnce() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording recording = startBash(sandbox, "trap 'echo ran' TERM EXIT; sleep 309");
    sandbox.pause();

    UsageReading last = sandbox.destroy(Duration.ZERO);

    assertThat(last.cpuMicros()).isPresent();
    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
    assertThat(recording.stdout()).isEmpty();
    assertThat(fixture.engine().list()).isEmpty();
    assertThat(sandbox.destroy(Duration.ZERO)).isEqualTo(last);
  }

  @Test
  void graceOfAPausedSandboxLetsProgramsEndThemselves() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording recording =
        startBash(sandbox, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    await().until(() -> recording.stdout().equals("up\n"));
    sandbox.pause();

    long before = System.nanoTime();
    sandbox.destroy(Duration.ofSeconds(10));

    assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(5));
    assertThat(recording.await().reason()).isIn(Reason.SANDBOX_ENDED, Reason.COMPLETED);
    assertThat(recording.stdout()).endsWith("bye\n");
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void paidTimeEndsAPausedSandboxAndIsTold() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofMillis(1500)));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    Recording recording = startBash(sandbox, "sleep 310");
    sandbox.pause();

    SandboxEnd told = end.get(20, TimeUnit.SECONDS);

    assertThat(told.reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
    assertThat(told.usage().orElseThrow().cpuMicros()).isPresent();
    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void paidTimeEndsAnAbandonedPausedSandbox() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofMillis(1500)));
    sandbox.pause();
    Cgroup cgroup = cgroup(sandbox.id());

    fixture.restart();

    await().until(() -> cgroup.processes().isEmpty());
    assertThat(fixture.engine().adopt(sandbox.id(), 7)).isEmpty();
    assertThat(fixture.engine().destroy(sandbox.id()).orElseThrow().cpuMicros()).isPresent();
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void paidTimeEndsAPausedSandboxWhoseServerIsKilled() throws Exception {
    Path state = Files.createTempDirectory("engine");
    SandboxId id = new SandboxId(EngineFixture.name());
    KilledServer.run(state, id, KilledServer.PAUSED, Duration.ofSeconds(4));
    Cgroup cgroup = cgroup(id);

    assertThat(cgroup.freezer().isOn()).isTrue();
    await().until(() -> cgroup.processes().isEmpty());

    try (LocalEngine engine = new LocalEngine(LocalEngineSettings.of(state))) {
      assertThat(engine.adopt(id, 3)).isEmpty();
      assertThat(engine.destroy(id).orElseThrow().cpuMicros()).isPresent();
    } finally {
      FileTrees.delete(state);
    }
  }

  @Test
  void renewedPausedSandboxLivesOn() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofSeconds(1)));
    long created = System.nanoTime();
    sandbox.pause();
    sandbox.renew(Duration.ofMinutes(1));

    await().until(() -> System.nanoTime() - created > Duration.ofMillis(1500).toNanos());
    sandbox.resume();

    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("echo on")).stdout())
        .isEqualTo("on\n");
  }

  @Test
  void pausedSandboxKeepsToAPaidTimeThatIsMadeShorter() throws Exception {
    EngineSandbox sandbox = fixture.create();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    sandbox.pause();

    sandbox.renew(Duration.ofMillis(300));

    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
  }

  @Test
  void pausedSandboxWhosePaidTimeIsOverDoesNotResume() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofMillis(1500)));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    long created = System.nanoTime();
    sandbox.pause();

    await().until(() -> System.nanoTime() - created > Duration.ofMillis(1500).toNanos());

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(sandbox::resume)
        .withMessageContaining("has ended");
    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
  }

  @Test
  void watchThatIsKilledIsReplaced() throws Exception {
    EngineSandbox sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofSeconds(4)));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    sandbox.pause();

    ProcessHandle.current()
        .children()
        .filter(child -> child.info().commandLine().orElse("").contains("watch.sh"))
        .forEach(ProcessHandle::destroyForcibly);

    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
  }

  @Test
  void adoptedSandboxIsStillPausedAndResumes() throws Exception {
    EngineSandbox first = fixture.engine().create(EngineFixture.spec(Duration.ofSeconds(2)));
    long created = System.nanoTime();
    EngineFixture.run(first, EngineFixture.python("kept = 9"));
    Recording held = startBash(first, "sleep 311");
    first.pause();

    fixture.restart();
    EngineSandbox again = fixture.engine().adopt(first.id(), 7).orElseThrow();

    again.takeUp(List.of());
    assertThat(held.isFinished()).isFalse();
    assertThat(again.paused()).isTrue();
    assertPaused(() -> again.files().stat("/"));
    again.renew(Duration.ofMinutes(1));
    await().until(() -> System.nanoTime() - created > Duration.ofMillis(2500).toNanos());
    again.resume();
    assertThat(again.paused()).isFalse();
    assertThat(EngineFixture.run(again, EngineFixture.python("kept")).results())
        .containsEntry("text/plain", "9");
    await()
        .until(() ->
            EngineFixture.run(again, EngineFixture.bash("pgrep -x sleep")).stdout().isEmpty());
  }

  @Test
  void adoptedPausedSandboxThatRunsOutIsTold() throws Exception {
    EngineSandbox first = fixture.engine().create(EngineFixture.spec(Duration.ofSeconds(3)));
    first.pause();
    fixture.restart();
    EngineSandbox again = fixture.engine().adopt(first.id(), 7).orElseThrow();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    again.onEnd(end::complete);

    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void adoptedPausedSandboxIsDestroyedWithGrace() throws Exception {
    EngineSandbox first = fixture.create();
    first.pause();
    fixture.restart();
    EngineSandbox again = fixture.engine().adopt(first.id(), 7).orElseThrow();

    assertThat(again.destroy(Duration.ofSeconds(5)).cpuMicros()).isPresent();
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void forgottenPausedSandboxIsDestroyedByItsId() throws Exception {
    EngineSandbox sandbox = fixture.create();
    sandbox.pause();
    fixture.restart();

    assertThat(fixture.engine().destroy(sandbox.id()).orElseThrow().cpuMicros()).isPresent();
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void forkBombIsHeldStill() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording ignored = startBash(sandbox, "bomb() { bomb | bomb & }; bomb; wait; sleep 312");
    Cgroup cgroup = cgroup(sandbox.id());
    await().until(() -> cgroup.processes().size() > 40);

    UsageReading paused = sandbox.pause();
    List<Long> processes = cgroup.processes();

    assertThat(laterUsage(sandbox).cpuMicros()).isEqualTo(paused.cpuMicros());
    assertThat(cgroup.processes()).containsExactlyElementsOf(processes);
    sandbox.resume();
    await().until(() -> sandbox.usage().cpuMicros().getAsLong() > paused.cpuMicros().getAsLong());
    sandbox.pause();
    sandbox.destroy(Duration.ZERO);
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void stoppedAndTracedProgramsAreHeldStillAndLeftAsTheyWere() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording program =
        startBash(
            sandbox,
            """
            exec python3 -c '
            import ctypes, os, signal, time
            traced = os.fork()
            if not traced:
                ctypes.CDLL(None).ptrace(0, 0, 0, 0)
                os.kill(os.getpid(), signal.SIGSTOP)
                os._exit(3)
            stopped = os.fork()
            if not stopped:
                os.kill(os.getpid(), signal.SIGSTOP)
                os._exit(4)
            os.waitpid(traced, os.WUNTRACED)
            os.waitpid(stopped, os.WUNTRACED)
            print("stopped", flush=True)
            input()
            ctypes.CDLL(None).ptrace(7, traced, 0, 0)
            os.kill(stopped, signal.SIGCONT)
            print(os.waitpid(traced, 0)[1] >> 8, os.waitpid(stopped, 0)[1] >> 8)
            ' < <(until [ -e go ]; do sleep 0.02; done; echo)
            """);
    await().until(() -> program.stdout().equals("stopped\n"));

    UsageReading paused = sandbox.pause();
    assertThat(laterUsage(sandbox).cpuMicros()).isEqualTo(paused.cpuMicros());
    sandbox.resume();
    EngineFixture.run(sandbox, EngineFixture.bash("touch go"));

    assertThat(program.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(program.stdout()).isEqualTo("stopped\n3 4\n");
  }

  @Test
  void sandboxThatEndsWhileItIsPausedLeavesNothing() throws Exception {
    for (int round = 0; round < 8; round++) {
      EngineSandbox sandbox = fixture.create();
      List<Long> processes = cgroup(sandbox.id()).processes();
      Thread killer =
          Thread.ofPlatform()
              .start(() ->
                  processes.forEach(
                      pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly)));
      try {
        sandbox.pause();
      } catch (EngineException e) {
        assertThat(e.kind()).isEqualTo(EngineException.Kind.FAILED);
      }
      killer.join();
      sandbox.destroy(Duration.ZERO);
      assertThat(sandbox.paused()).isFalse();
    }
    assertThat(fixture.engine().list()).isEmpty();
  }

  @Test
  void manyPausesAtOnceLoseNoOutput() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording counter =
        startBash(sandbox, "for i in $(seq 2000); do echo $i; done; sleep 0.2; echo end");
    List<Thread> callers =
        IntStream.range(0, 3)
            .mapToObj(caller ->
                Thread.ofVirtual()
                    .start(() -> {
                      for (int round = 0; round < 20; round++) {
                        sandbox.pause();
                        sandbox.resume();
                      }
                    }))
            .toList();
    for (Thread caller : callers) {
      caller.join();
    }

    assertThat(sandbox.paused()).isFalse();
    assertThat(counter.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(counter.stdout().lines()).hasSize(2001).endsWith("end");
  }
}
