package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.engine.Stdio;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Commands and Bash code in one real sandbox. */
class LocalEngineCommandTest {

  private static final Duration LONG = Duration.ofSeconds(30);
  private static final int SIGTERM = 15;
  private static final int SIGKILL = 9;

  private static EngineFixture fixture;
  private static EngineSandbox sandbox;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
  }

  private static Recording bash(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.bash(source));
  }

  @Test
  void streamsAreApartAndTheExitCodeIsTold() throws Exception {
    Recording recording = bash("echo out; echo err >&2; exit 3");

    assertThat(recording.stdout()).isEqualTo("out\n");
    assertThat(recording.stderr()).isEqualTo("err\n");
    ExecutionEnd end = recording.await();
    assertThat(end.reason()).isEqualTo(Reason.COMPLETED);
    assertThat(end.exitCode()).hasValue(3);
    assertThat(end.signal()).isEmpty();
    assertThat(end.cpuMicros().getAsLong()).isPositive();
  }

  @Test
  void argumentsArriveAsTheyAre() throws Exception {
    Recording recording =
        EngineFixture.run(
            sandbox, EngineFixture.command(LONG, "printf", "%s|", "a b", "$HOME", "'\"", "ü", ""));

    assertThat(recording.stdout()).isEqualTo("a b|$HOME|'\"|ü||");
  }

  @Test
  void environmentFolderAndInputReachTheProgram() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            new ExecutionId(EngineFixture.name()),
            EngineFixture.bash("mkdir -p sub; pwd; echo $OF_SANDBOX $OF_RUN $HOME; cat"),
            Optional.of("/tmp"),
            Map.of("OF_RUN", "too"),
            Stdio.of("typed".getBytes(java.nio.charset.StandardCharsets.UTF_8)),
            LONG);

    assertThat(EngineFixture.run(sandbox, spec).stdout())
        .isEqualTo("/tmp\nyes too /home/user\ntyped");
  }

  @Test
  void inputLargerThanAPipeIsFedWhileOutputIsRead() throws Exception {
    String input = "0123456789".repeat(300_000);
    ExecutionSpec spec = EngineFixture.of(new ExecutionSpec.Command(List.of("cat")), LONG, input);

    assertThat(EngineFixture.run(sandbox, spec).stdout()).isEqualTo(input);
  }

  @Test
  void programThatReadsNoInputDoesNotHang() throws Exception {
    ExecutionSpec spec =
        EngineFixture.of(new ExecutionSpec.Command(List.of("true")), LONG, "x".repeat(1_000_000));

    assertThat(EngineFixture.run(sandbox, spec).await().exitCode()).hasValue(0);
  }

  @Test
  void binaryJunkPassesUnchanged() throws Exception {
    Recording recording = bash("for i in $(seq 0 255); do printf \"\\\\x$(printf %x $i)\"; done");

    byte[] expected = new byte[256];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = (byte) i;
    }
    assertThat(recording.stdoutBytes()).isEqualTo(expected);
  }

  @Test
  void missingProgramIsNotStarted() throws Exception {
    Recording recording =
        EngineFixture.run(sandbox, EngineFixture.command(LONG, "no-such-program"));

    assertThat(recording.await().reason()).isEqualTo(Reason.NOT_STARTED);
    CodeError error = recording.errors().getFirst();
    assertThat(error.name()).isEqualTo("FileNotFoundError");
    assertThat(error.value()).contains("no-such-program");
  }

  @Test
  void missingFolderIsNotStarted() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            new ExecutionId(EngineFixture.name()),
            new ExecutionSpec.Command(List.of("true")),
            Optional.of("/nowhere"),
            Map.of(),
            Stdio.of(new byte[0]),
            LONG);

    Recording recording = EngineFixture.run(sandbox, spec);
    assertThat(recording.await().reason()).isEqualTo(Reason.NOT_STARTED);
    assertThat(recording.errors().getFirst().value()).contains("working directory");
  }

  @Test
  void sourceOfTwentyMegabytesRuns() throws Exception {
    String source = ": " + "x".repeat(200) + "\n";
    Recording recording = bash(source.repeat(20_000_000 / source.length()) + "echo end");

    assertThat(recording.stdout()).isEqualTo("end\n");
  }

  @Test
  void ownSignalIsTold() throws Exception {
    ExecutionEnd end = bash("kill -SEGV $$").await();

    assertThat(end.reason()).isEqualTo(Reason.SIGNALED);
    assertThat(end.signal()).hasValue(11);
    assertThat(end.exitCode()).isEmpty();
  }

  @Test
  void signalReachesTheWholeTree() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(
            EngineFixture.command(LONG, "bash", "-c", "(sleep 300; true) & echo up; wait"),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGTERM);

    assertThat(recording.await().signal()).hasValue(SIGTERM);
    assertThat(processes("sleep 300")).isZero();
  }

  @Test
  void signalBeforeTheStartIsNotLost() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(EngineFixture.command(LONG, "sleep", "301"), recording);
    execution.signal(SIGKILL);

    assertThat(recording.await().signal()).hasValue(SIGKILL);
    assertThat(recording.await().reason()).isEqualTo(Reason.SIGNALED);
  }

  @Test
  void deadlineEndsWhatIgnoresSignalsAndWhatForkedAway() throws Exception {
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(
            EngineFixture.command(
                Duration.ofMillis(700),
                "bash",
                "-c",
                "trap '' TERM INT HUP; (setsid bash -c 'trap \"\" TERM; sleep 302 & wait' &) ;"
                    + " sleep 302"),
            recording);

    ExecutionEnd end = recording.await();
    assertThat(end.reason()).isEqualTo(Reason.DEADLINE);
    assertThat(end.signal()).hasValue(SIGKILL);
    assertThat(processes("sleep 302")).isZero();
  }

  @Test
  void daemonDoesNotHoldUpTheEndAndLivesOn() throws Exception {
    long before = System.nanoTime();
    Recording recording = bash("(setsid sleep 303 &) ; echo done");

    assertThat(recording.stdout()).isEqualTo("done\n");
    assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(10));
    assertThat(processes("sleep 303")).isOne();
    bash("pkill -f 'sleep 303'");
  }

  @Test
  void daemonThatKeepsWritingIsNotBrokenByTheEnd() throws Exception {
    bash("(setsid bash -c 'for i in $(seq 200); do echo x; sleep 0.01; done; touch survived' &)");

    await().until(() -> bash("test -e survived").await().exitCode().getAsInt() == 0);
  }

  @Test
  void closingStdoutIsNotTheEnd() throws Exception {
    Recording recording = bash("exec >&-; sleep 0.3; echo later >&2; exit 4");

    assertThat(recording.stderr()).isEqualTo("later\n");
    assertThat(recording.await().exitCode()).hasValue(4);
  }

  @Test
  void hundredMegabytesPassASlowReaderWhoHoldsTheProgramUp() throws Exception {
    // The reader takes what it has permits for; the program must not get far ahead of it.
    Semaphore permits = new Semaphore(0);
    AtomicLong received = new AtomicLong();
    CountDownLatch finished = new CountDownLatch(1);
    EngineExecution ignored =
        sandbox.start(
            EngineFixture.command(
                LONG, "bash", "-c", "head -c 100000000 /dev/zero; echo past > past"),
            new ExecutionListener() {
              @Override
              public void started(int pid) {}

              @Override
              public void output(OutputStreamKind kind, long offset, ByteBuffer bytes) {
                permits.acquireUninterruptibly();
                received.addAndGet(bytes.remaining());
              }

              @Override
              public void result(Map<String, byte[]> mimeData) {}

              @Override
              public void error(CodeError error) {}

              @Override
              public void finished(ExecutionEnd end, Runnable kept) {
                kept.run();
                finished.countDown();
              }
            });
    permits.release(4);
    await().until(() -> received.get() > 0 && permits.availablePermits() == 0);
    // Another execution is not held up meanwhile, and sees that the program still writes.
    assertThat(bash("test -e past").await().exitCode()).hasValue(1);

    permits.release(Integer.MAX_VALUE / 2);
    finished.await();
    assertThat(received).hasValue(100_000_000);
    assertThat(bash("test -e past").await().exitCode()).hasValue(0);
  }

  /** What is over in time is not late because nobody reads of it. */
  @Test
  void slowReaderDoesNotMakeAnEndedProgramLate() throws Exception {
    CompletableFuture<ExecutionEnd> end = new CompletableFuture<>();
    EngineExecution ignored =
        sandbox.start(
            EngineFixture.command(Duration.ofSeconds(1), "head", "-c", "700000", "/dev/zero"),
            new ExecutionListener() {
              private boolean waited;

              @Override
              public void started(int pid) {}

              @Override
              public void output(OutputStreamKind kind, long offset, ByteBuffer bytes) {
                if (!waited) {
                  waited = true;
                  LockSupport.parkNanos(Duration.ofSeconds(2).toNanos());
                }
              }

              @Override
              public void result(Map<String, byte[]> mimeData) {}

              @Override
              public void error(CodeError error) {}

              @Override
              public void finished(ExecutionEnd told, Runnable kept) {
                kept.run();
                end.complete(told);
              }
            });

    assertThat(end.get().reason()).isEqualTo(Reason.COMPLETED);
  }

  @Test
  void manyRunAtOnce() throws Exception {
    List<Recording> recordings = new java.util.ArrayList<>();
    for (int i = 0; i < 30; i++) {
      Recording recording = new Recording();
      EngineExecution ignored =
          sandbox.start(EngineFixture.command(LONG, "bash", "-c", "echo " + i), recording);
      recordings.add(recording);
    }
    for (int i = 0; i < recordings.size(); i++) {
      recordings.get(i).await();
      assertThat(recordings.get(i).stdout()).isEqualTo(i + "\n");
    }
  }

  @Test
  void tooManyAtOnceAreRefusedAndSaySo() throws Exception {
    List<Recording> recordings = new java.util.ArrayList<>();
    List<EngineExecution> executions = new java.util.ArrayList<>();
    try (EngineFixtureSandbox crowded = new EngineFixtureSandbox(fixture)) {
      for (int i = 0; i < 150; i++) {
        Recording recording = new Recording();
        executions.add(
            crowded.sandbox().start(EngineFixture.command(LONG, "sleep", "30"), recording));
        recordings.add(recording);
      }
      await().until(() -> recordings.stream().anyMatch(Recording::isFinished));
      Recording refused = recordings.stream().filter(Recording::isFinished).findFirst().get();
      assertThat(refused.await().reason()).isEqualTo(Reason.NOT_STARTED);
      assertThat(refused.errors()).isNotEmpty();
    }
    for (Recording recording : recordings) {
      recording.await();
    }
    assertThat(executions).hasSize(150);
  }

  @Test
  void signalOutOfRangeIsRefused() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution = sandbox.start(EngineFixture.command(LONG, "true"), recording);
    recording.await();

    assertThatThrownBy(() -> execution.signal(65)).isInstanceOf(IllegalArgumentException.class);
    execution.signal(SIGTERM);
  }

  private static int processes(String pattern) throws Exception {
    // The pattern's first letter in brackets, so that the search does not find itself.
    String self = "[" + pattern.charAt(0) + "]" + pattern.substring(1);
    String count = bash("pgrep -cxf '" + self + "' || true").stdout().strip();
    return Integer.parseInt(count);
  }
}
