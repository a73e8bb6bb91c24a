package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Percentage.withPercentage;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** How sandboxes come, are found again, and go. */
interface LifeContract extends EngineUnderTest {

  @Test
  default void sameIdTwiceIsRefused() {
    SandboxSpec spec = spec(LONG);
    EngineSandbox sandbox = engine().create(spec);

    assertThatThrownBy(() -> engine().create(spec)).isInstanceOf(EngineException.class);
    assertThat(engine().adopt(spec.id(), 7)).contains(sandbox);
  }

  @Test
  default void endedSandboxTakesNoWork() {
    EngineSandbox sandbox = create();
    sandbox.destroy(Duration.ZERO);

    assertThatThrownBy(() -> sandbox.start(Requests.command(LONG, "true"), new Recording()))
        .isInstanceOf(EngineException.class);
    assertThatThrownBy(() -> sandbox.renew(LONG)).isInstanceOf(EngineException.class);
    assertThatThrownBy(() -> sandbox.files().stat("/")).isInstanceOf(EngineException.class);
  }

  @Test
  default void graceLetsProgramsEndThemselves() throws Exception {
    EngineSandbox sandbox = create();
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(
            Requests.command(
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
    assertMetered(reading);
  }

  @Test
  default void graceEnds() throws Exception {
    EngineSandbox sandbox = create();
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(
            Requests.command(
                LONG, "bash", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    sandbox.destroy(Duration.ofMillis(300));

    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
  }

  @Test
  default void adoptedSandboxKeepsFilesAndVariablesAndUsage() throws Exception {
    SandboxSpec spec = spec(LONG);
    EngineSandbox first = engine().create(spec);
    Requests.run(first, Requests.python("kept = 5"));
    Requests.run(first, Requests.bash("echo kept > kept"));
    Recording command = new Recording();
    Recording cell = new Recording();
    EngineExecution one = first.start(Requests.command(LONG, "sleep", "305"), command);
    EngineExecution two =
        first.start(Requests.of(Requests.python("import time\ntime.sleep(60)"), LONG, ""), cell);
    command.awaitStarted();
    cell.awaitStarted();
    UsageReading before = first.usage();

    reopen();

    assertThat(engine().list()).contains(new EngineInstance(spec.id(), 7));
    assertThat(engine().adopt(spec.id(), 8)).isEmpty();
    EngineSandbox again = engine().adopt(spec.id(), 7).orElseThrow();
    // Nobody wants to hear of the two any more.
    again.takeUp(List.of());
    assertThat(Requests.run(again, Requests.python("kept")).results())
        .containsEntry("text/plain", "5");
    await().until(() -> Requests.run(again, Requests.bash("pgrep -x sleep")).stdout().isEmpty());
    assertThat(Requests.run(again, Requests.bash("cat kept; echo $OF_SANDBOX")).stdout())
        .isEqualTo("kept\nyes\n");
    assertThat(command.isFinished()).isFalse();
    assertThat(cell.isFinished()).isFalse();
    UsageReading after = again.usage();
    unless(
        Difference.NO_METERS,
        () -> {
          assertThat(after.cpuMicros().orElse(0))
              .isPositive()
              .isGreaterThanOrEqualTo(before.cpuMicros().orElse(0));
          assertThat(after.memoryMibMillis().orElse(0))
              .isPositive()
              .isGreaterThanOrEqualTo(before.memoryMibMillis().orElse(0));
        });
    assertThat(one.id()).isNotEqualTo(two.id());
  }

  @Test
  default void unknownIsNotAdopted() {
    assertThat(engine().adopt(new SandboxId(Requests.name()), 1)).isEmpty();
  }

  @Test
  default void forgottenSandboxIsDestroyedByItsId() throws Exception {
    EngineSandbox created = create();
    reopen();

    assertMetered(engine().destroy(created.id()).orElseThrow());
    assertThat(engine().list()).doesNotContain(new EngineInstance(created.id(), 7));
  }

  @Test
  default void paidTimeOverIsToldWithTheUsage() throws Exception {
    EngineSandbox sandbox = create(Duration.ofSeconds(3));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    Recording recording = new Recording();
    EngineExecution ignored = sandbox.start(Requests.command(LONG, "sleep", "306"), recording);

    SandboxEnd told = end.get(20, TimeUnit.SECONDS);

    assertThat(told.reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
    assertMetered(told.usage().orElseThrow());
    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
    assertThat(engine().list()).doesNotContain(new EngineInstance(sandbox.id(), 7));
    CompletableFuture<SandboxEnd> late = new CompletableFuture<>();
    sandbox.onEnd(late::complete);
    assertThat(late).isCompletedWithValue(told);
  }

  @Test
  default void renewedSandboxLivesOn() throws Exception {
    EngineSandbox sandbox = create(Duration.ofSeconds(2));
    sandbox.renew(Duration.ofMinutes(1));

    assertThat(Requests.run(sandbox, Requests.bash("sleep 2.5; echo on")).stdout())
        .isEqualTo("on\n");
  }

  @Test
  default void destroyedSandboxTellsNoEnd() {
    EngineSandbox sandbox = create();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);

    sandbox.destroy(Duration.ofSeconds(5));

    assertThat(end).isNotDone();
  }

  @Test
  default void processorTimeIsMeteredAsTheGuestSeesIt() throws Exception {
    EngineSandbox sandbox = create();
    long before = sandbox.usage().cpuMicros().orElse(0);
    Recording recording =
        Requests.run(
            sandbox,
            Requests.python(
                "import time\nwhile time.process_time() < 1.0: pass\ntime.process_time()"));
    long used = sandbox.usage().cpuMicros().orElse(0) - before;

    boolean aKernelToo = has(Difference.METERS_A_KERNEL_TOO);
    unless(
        Difference.NO_METERS,
        () ->
            assertThat(used)
                // A kernel of its own counts its programs' time by ticks of its own.
                .isBetween(aKernelToo ? 700_000L : 850_000L, aKernelToo ? 3_000_000L : 1_150_000L));
    assertThat(recording.await().cpuMicros().getAsLong()).isCloseTo(1_000_000, withPercentage(5));
  }

  @Test
  default void memoryIsMeteredOverTime() throws Exception {
    EngineSandbox sandbox = create();
    Requests.run(sandbox, Requests.python("held = bytearray(100 << 20)"));
    long start = System.nanoTime();
    long before = sandbox.usage().memoryMibMillis().orElse(0);
    Requests.run(sandbox, Requests.bash("sleep 1.2"));
    long millis = (System.nanoTime() - start) / 1_000_000;
    long used = sandbox.usage().memoryMibMillis().orElse(0) - before;

    unless(
        has(Difference.NO_METERS) ? Difference.NO_METERS : Difference.METERS_A_KERNEL_TOO,
        () -> assertThat((double) used / millis).isBetween(100.0, 140.0));
  }

  @Test
  default void whatRunsOverAReopeningIsTakenUp() throws Exception {
    EngineSandbox first = create();
    Recording before = new Recording();
    EngineExecution counting =
        first.start(
            Requests.of(
                Requests.bash("for i in {1..100}; do echo $i; sleep 0.01; done; exit 3"), LONG, ""),
            before);
    await().until(() -> before.stdout().length() > 20);

    reopen();
    EngineSandbox again = engine().adopt(first.id(), first.generation()).orElseThrow();
    Recording after = new Recording(before.stdoutBytes().length);
    again.takeUp(List.of(new RunningExecution(counting.id(), before.told(), after)));

    assertThat(after.await().exitCode()).hasValue(3);
    assertThat((before.stdout() + after.stdout()).lines()).hasSize(100).endsWith("100");
  }

  @Test
  default void whereMemoryRunsOutWhatTookItEnds() throws Exception {
    EngineSandbox sandbox = create();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);

    Recording bomb =
        Requests.run(sandbox, Requests.command(LONG, "python3", "-c", "x = bytearray(10**9)"));

    if (has(Difference.OUT_OF_MEMORY_ENDS_THE_SANDBOX)) {
      assertThat(bomb.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
      assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.OUT_OF_MEMORY);
    } else {
      unless(
          Difference.OUT_OF_MEMORY_IS_A_SIGNAL,
          () -> assertThat(bomb.await().reason()).isEqualTo(Reason.OUT_OF_MEMORY));
      assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
    }
  }

  private void assertMetered(UsageReading reading) {
    assertThat(reading.cpuMicros().isPresent()).isNotEqualTo(has(Difference.NO_METERS));
  }
}
