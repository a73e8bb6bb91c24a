package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.UsageReading;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** How a sandbox is held still, goes on, and ends meanwhile. */
class LocalEnginePauseTest {

  private EngineFixture fixture;

  @BeforeEach
  void open() throws Exception {
    fixture = new EngineFixture();
  }

  @AfterEach
  void close() throws Exception {
    fixture.close();
  }

  private Cgroup cgroup(SandboxId id) {
    CgroupTree tree =
        CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    return tree.sandbox(tree.rangeOf(id).orElseThrow(), id);
  }

  @Test
  void graceOfAPausedSandboxLetsProgramsEndThemselves() throws Exception {
    EngineSandbox sandbox = fixture.create();
    Recording recording =
        Requests.startBash(
            sandbox, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done");
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
    Recording recording = Requests.startBash(sandbox, "sleep 310");
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
  void pausedSandboxKeepsToAPaidTimeThatIsMadeShorter() throws Exception {
    EngineSandbox sandbox = fixture.create();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    sandbox.pause();

    sandbox.renew(Duration.ofMillis(300));

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
    Recording ignored =
        Requests.startBash(sandbox, "bomb() { bomb | bomb & }; bomb; wait; sleep 312");
    Cgroup cgroup = cgroup(sandbox.id());
    await().until(() -> cgroup.processes().size() > 40);

    UsageReading paused = sandbox.pause();
    List<Long> processes = cgroup.processes();

    assertThat(Requests.laterUsage(sandbox).cpuMicros()).isEqualTo(paused.cpuMicros());
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
        Requests.startBash(
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
    assertThat(Requests.laterUsage(sandbox).cpuMicros()).isEqualTo(paused.cpuMicros());
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
        Requests.startBash(sandbox, "for i in $(seq 2000); do echo $i; done; sleep 0.2; echo end");
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
