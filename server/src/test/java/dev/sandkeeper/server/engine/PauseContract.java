package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

/** Sandboxes that stand still. */
interface PauseContract extends EngineUnderTest {

  String COUNTER = "i=0; while :; do echo $i; i=$((i + 1)); sleep 0.005; done";

  @Test
  default void programsStandStillAndGoOnWithoutLoss() throws Exception {
    EngineSandbox sandbox = create();
    Recording counter = Requests.startBash(sandbox, COUNTER);
    await().until(() -> counter.stdout().length() > 20);

    UsageReading paused = sandbox.pause();

    assertThat(sandbox.paused()).isTrue();
    // What was in the pipes has arrived by then.
    UsageReading later = Requests.laterUsage(sandbox);
    String output = counter.stdout();
    UsageReading latest = Requests.laterUsage(sandbox);
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
  default void pauseAndResumeAreIdempotent() throws Exception {
    EngineSandbox sandbox = create();
    sandbox.resume();

    UsageReading first = sandbox.pause();
    UsageReading second = sandbox.pause();
    assertThat(second.cpuMicros()).isEqualTo(first.cpuMicros());
    assertThat(sandbox.paused()).isTrue();

    sandbox.resume();
    sandbox.resume();
    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  @Test
  default void pausedSandboxTakesNoWork() {
    EngineSandbox sandbox = create();
    sandbox.pause();

    assertPaused(() -> sandbox.start(Requests.command(LONG, "true"), new Recording()));
    assertPaused(() -> sandbox.files().stat("/"));
    assertPaused(() -> sandbox.files().write("file", 10));
  }

  @Test
  default void endedSandboxIsNeitherPausedNorResumed() {
    EngineSandbox sandbox = create();
    sandbox.destroy(Duration.ZERO);

    assertThatExceptionOfType(EngineException.class).isThrownBy(sandbox::pause);
    assertThatExceptionOfType(EngineException.class).isThrownBy(sandbox::resume);
    assertThat(sandbox.paused()).isFalse();
  }

  @Test
  default void variablesAndFilesOutlastAPause() throws Exception {
    EngineSandbox sandbox = create();
    Requests.run(sandbox, Requests.python("kept = 8"));
    Requests.run(sandbox, Requests.bash("echo kept > kept"));

    sandbox.pause();
    sandbox.resume();

    assertThat(Requests.run(sandbox, Requests.python("kept")).results())
        .containsEntry("text/plain", "8");
    assertThat(Requests.run(sandbox, Requests.bash("cat kept")).stdout()).isEqualTo("kept\n");
  }

  @Test
  default void fileThatIsBeingWrittenIsGoneOnWith() throws Exception {
    EngineSandbox sandbox = create();
    unless(
        Difference.PAUSE_BREAKS_TRANSFERS,
        () -> assertThat(writtenOverAPause(sandbox)).isEqualTo("before meanwhile"));
  }

  private static String writtenOverAPause(EngineSandbox sandbox) throws Exception {
    try (EngineFiles.FileWriter writer = sandbox.files().write("file", 100)) {
      writer.append(ByteBuffer.wrap("before ".getBytes(StandardCharsets.UTF_8)));
      sandbox.pause();
      writer.append(ByteBuffer.wrap("meanwhile".getBytes(StandardCharsets.UTF_8)));
      sandbox.resume();
      writer.commit();
    } catch (EngineException e) {
      return e.kind().toString();
    }
    return Requests.run(sandbox, Requests.bash("cat file")).stdout();
  }

  @Test
  default void deadlineThatPassesMeanwhileEndsTheProgramAtResume() throws Exception {
    EngineSandbox sandbox = create();
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(Requests.command(Duration.ofMillis(300), "sleep", "308"), recording);
    recording.awaitStarted();

    sandbox.pause();
    Requests.laterUsage(sandbox);
    assertThat(recording.isFinished()).isFalse();
    sandbox.resume();

    assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
  }

  @Test
  default void pausedSandboxIsDestroyedAtOnce() throws Exception {
    EngineSandbox sandbox = create();
    Recording recording = Requests.startBash(sandbox, "trap 'echo ran' TERM EXIT; sleep 309");
    sandbox.pause();

    UsageReading last = sandbox.destroy(Duration.ZERO);

    assertThat(last.cpuMicros().isPresent()).isNotEqualTo(has(Difference.NO_METERS));
    assertThat(recording.await().reason()).isEqualTo(Reason.SANDBOX_ENDED);
    assertThat(recording.stdout()).isEmpty();
    assertThat(engine().list()).doesNotContain(new EngineInstance(sandbox.id(), 7));
    assertThat(sandbox.destroy(Duration.ZERO)).isEqualTo(last);
  }

  @Test
  default void renewedPausedSandboxLivesOn() throws Exception {
    EngineSandbox sandbox = create(Duration.ofSeconds(3));
    long created = System.nanoTime();
    sandbox.pause();
    sandbox.renew(Duration.ofMinutes(1));

    await().until(() -> System.nanoTime() - created > Duration.ofMillis(3500).toNanos());
    sandbox.resume();

    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  @Test
  default void pausedSandboxWhosePaidTimeIsOverDoesNotResume() throws Exception {
    EngineSandbox sandbox = create(Duration.ofSeconds(3));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    long created = System.nanoTime();
    sandbox.pause();

    await().until(() -> System.nanoTime() - created > Duration.ofSeconds(3).toNanos());

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(sandbox::resume)
        .withMessageContaining("has ended");
    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
  }

  @Test
  default void adoptedSandboxIsStillPausedAndResumes() throws Exception {
    EngineSandbox first = create();
    Requests.run(first, Requests.python("kept = 9"));
    Recording held = Requests.startBash(first, "sleep 311");
    first.pause();

    reopen();
    EngineSandbox again = engine().adopt(first.id(), 7).orElseThrow();

    again.takeUp(List.of());
    assertThat(held.isFinished()).isFalse();
    assertThat(again.paused()).isTrue();
    assertPaused(() -> again.files().stat("/"));
    again.resume();
    assertThat(again.paused()).isFalse();
    assertThat(Requests.run(again, Requests.python("kept")).results())
        .containsEntry("text/plain", "9");
    await().until(() -> Requests.run(again, Requests.bash("pgrep -x sleep")).stdout().isEmpty());
  }

  private static void assertPaused(ThrowingCallable call) {
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(call)
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.PAUSED));
  }
}
