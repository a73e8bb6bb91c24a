package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

/** Commands and Bash code. */
interface CommandContract extends EngineUnderTest {

  @Test
  default void streamsAreApartAndTheExitCodeIsTold() throws Exception {
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
  default void argumentsArriveAsTheyAre() throws Exception {
    Recording recording =
        Requests.run(
            shared(), Requests.command(LONG, "printf", "%s|", "a b", "$HOME", "'\"", "ü", ""));

    assertThat(recording.stdout()).isEqualTo("a b|$HOME|'\"|ü||");
  }

  @Test
  default void environmentFolderAndInputReachTheProgram() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            new ExecutionId(Requests.name()),
            Requests.bash("mkdir -p sub; pwd; echo $OF_SANDBOX $OF_RUN $HOME; cat"),
            Optional.of("/tmp"),
            Map.of("OF_RUN", "too"),
            Stdio.of("typed".getBytes(StandardCharsets.UTF_8)),
            LONG);

    assertThat(Requests.run(shared(), spec).stdout()).isEqualTo("/tmp\nyes too /home/user\ntyped");
  }

  @Test
  default void inputLargerThanAPipeIsFedWhileOutputIsRead() throws Exception {
    String input = "0123456789".repeat(300_000);
    ExecutionSpec spec = Requests.of(new ExecutionSpec.Command(List.of("cat")), LONG, input);

    assertThat(Requests.run(shared(), spec).stdout()).isEqualTo(input);
  }

  @Test
  default void programThatReadsNoInputDoesNotHang() throws Exception {
    ExecutionSpec spec =
        Requests.of(new ExecutionSpec.Command(List.of("true")), LONG, "x".repeat(1_000_000));

    assertThat(Requests.run(shared(), spec).await().exitCode()).hasValue(0);
  }

  @Test
  default void binaryJunkPassesUnchanged() throws Exception {
    Recording recording =
        bash("python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))'");

    byte[] expected = new byte[256];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = (byte) i;
    }
    assertThat(recording.stdoutBytes()).isEqualTo(expected);
  }

  @Test
  default void missingProgramIsNotStarted() throws Exception {
    Recording recording = Requests.run(shared(), Requests.command(LONG, "no-such-program"));

    assertThat(recording.await().reason()).isEqualTo(Reason.NOT_STARTED);
    CodeError error = recording.errors().getFirst();
    assertThat(error.name()).isEqualTo("FileNotFoundError");
    assertThat(error.value()).contains("no-such-program");
  }

  @Test
  default void missingFolderIsNotStarted() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            new ExecutionId(Requests.name()),
            new ExecutionSpec.Command(List.of("true")),
            Optional.of("/nowhere"),
            Map.of(),
            Stdio.of(new byte[0]),
            LONG);

    Recording recording = Requests.run(shared(), spec);
    assertThat(recording.await().reason()).isEqualTo(Reason.NOT_STARTED);
    assertThat(recording.errors().getFirst().value()).contains("working directory");
  }

  @Test
  default void sourceOfTwentyMegabytesRuns() throws Exception {
    String source = ": " + "x".repeat(200) + "\n";
    Recording recording = bash(source.repeat(20_000_000 / source.length()) + "echo end");

    assertThat(recording.stdout()).isEqualTo("end\n");
  }

  @Test
  default void ownSignalIsTold() throws Exception {
    ExecutionEnd end = bash("kill -SEGV $$").await();

    assertThat(end.reason()).isEqualTo(Reason.SIGNALED);
    assertThat(end.signal()).hasValue(11);
    assertThat(end.exitCode()).isEmpty();
  }

  @Test
  default void signalReachesTheWholeTree() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution =
        shared()
            .start(
                Requests.command(LONG, "bash", "-c", "(sleep 300; true) & echo up; wait"),
                recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGTERM);

    assertThat(recording.await().signal()).hasValue(SIGTERM);
    assertThat(processes("sleep 300")).isZero();
  }

  @Test
  default void signalBeforeTheStartIsNotLost() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution = shared().start(Requests.command(LONG, "sleep", "301"), recording);
    execution.signal(SIGKILL);

    assertThat(recording.await().signal()).hasValue(SIGKILL);
    assertThat(recording.await().reason()).isEqualTo(Reason.SIGNALED);
  }

  @Test
  default void deadlineEndsWhatIgnoresSignalsAndWhatForkedAway() throws Exception {
    Recording recording = new Recording();
    EngineExecution ignored =
        shared()
            .start(
                Requests.command(
                    Duration.ofMillis(700),
                    "bash",
                    "-c",
                    "trap '' TERM INT HUP; (setsid bash -c 'trap \"\" TERM; sleep 302 & wait' &) ;"
                        + " sleep 302"),
                recording);

    ExecutionEnd end = recording.await();
    assertThat(end.reason()).isEqualTo(Reason.DEADLINE);
    assertThat(end.signal()).hasValue(SIGKILL);
    unless(Difference.DEADLINE_SPARES_DAEMONS, () -> assertThat(processes("sleep 302")).isZero());
  }

  @Test
  default void daemonDoesNotHoldUpTheEndAndLivesOn() throws Exception {
    long before = System.nanoTime();
    Recording recording = bash("(setsid sleep 303 &) ; echo done");

    assertThat(recording.stdout()).isEqualTo("done\n");
    assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(10));
    assertThat(processes("sleep 303")).isOne();
    bash("pkill -f 'sleep 303'");
  }

  @Test
  default void daemonThatKeepsWritingIsNotBrokenByTheEnd() throws Exception {
    bash("(setsid bash -c 'for i in $(seq 20); do echo x; sleep 0.02; done; touch survived' &)");

    await().until(() -> bash("test -e survived").await().exitCode().getAsInt() == 0);
  }

  @Test
  default void closingStdoutIsNotTheEnd() throws Exception {
    Recording recording = bash("exec >&-; sleep 0.3; echo later >&2; exit 4");

    assertThat(recording.stderr()).isEqualTo("later\n");
    assertThat(recording.await().exitCode()).hasValue(4);
  }

  @Test
  default void hundredMegabytesPassASlowReaderWhoHoldsTheProgramUp() throws Exception {
    // The reader takes what it has permits for; the program must not get far ahead of it.
    Semaphore permits = new Semaphore(0);
    AtomicLong received = new AtomicLong();
    CountDownLatch finished = new CountDownLatch(1);
    EngineExecution ignored =
        shared()
            .start(
                Requests.command(
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
  default void slowReaderDoesNotMakeAnEndedProgramLate() throws Exception {
    CompletableFuture<ExecutionEnd> end = new CompletableFuture<>();
    EngineExecution ignored =
        shared()
            .start(
                Requests.command(Duration.ofSeconds(1), "head", "-c", "700000", "/dev/zero"),
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
  default void manyRunAtOnce() throws Exception {
    List<Recording> recordings = new ArrayList<>();
    int many = has(Difference.FEWER_AT_ONCE) ? 10 : 30;
    for (int i = 0; i < many; i++) {
      Recording recording = new Recording();
      EngineExecution ignored =
          shared().start(Requests.command(LONG, "bash", "-c", "echo " + i), recording);
      recordings.add(recording);
    }
    for (int i = 0; i < recordings.size(); i++) {
      recordings.get(i).await();
      assertThat(recordings.get(i).stdout()).isEqualTo(i + "\n");
    }
  }

  @Test
  default void signalOutOfRangeIsRefused() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution = shared().start(Requests.command(LONG, "true"), recording);
    recording.await();

    assertThatThrownBy(() -> execution.signal(65)).isInstanceOf(IllegalArgumentException.class);
    execution.signal(SIGTERM);
  }

  @Test
  default void aTerminalIsTheProgramsOwn() throws Exception {
    Recording recording =
        Requests.run(
            shared(),
            Requests.open(
                "test -t 0 && test -t 1 && stty size && echo there >/dev/tty",
                "",
                Optional.of(new Terminal(50, 132, "vt100"))));

    unless(
        Difference.NO_TERMINAL,
        () -> assertThat(recording.stdout()).isEqualTo("50 132\r\nthere\r\n"));
  }

  @Test
  default void inputIsSentWhileTheProgramReads() throws Exception {
    Recording recording = new Recording();
    EngineExecution cat = shared().start(Requests.open("cat", "one ", Optional.empty()), recording);

    assertThat(cat.sendInput(0, "two ".getBytes(StandardCharsets.UTF_8))).isEqualTo(4);
    await().until(() -> recording.stdout().equals("one two "));
    cat.closeInput();

    assertThat(recording.await().exitCode()).hasValue(0);
  }

  @Test
  default void filesAreListedAsThereAre() throws Exception {
    unless(Difference.LS_FAILS, () -> assertThat(bash("ls /home").stdout()).isEqualTo("user\n"));
  }

  @Test
  default void programsWaitByEveryCallThatThereIs() throws Exception {
    Recording recording =
        python(
            """
            import os, select
            out, into = os.pipe()
            os.write(into, b'x')
            poll, epoll = select.poll(), select.epoll()
            for one in (poll, epoll):
                one.register(out, 1)
            print(select.select([out], [], [], 5)[0] == [out], poll.poll(5000), epoll.poll(5))
            """);

    assertThat(recording.errors()).isEmpty();
    assertThat(recording.stdout()).matches("True \\[\\(\\d+, 1\\)\\] \\[\\(\\d+, 1\\)\\]\n");
  }

  @Test
  default void nothingIsReachedButItself() throws Exception {
    Recording recording =
        python(
            """
            import socket
            server = socket.create_server(('127.0.0.1', 0))
            socket.create_connection(server.getsockname()).close()
            try:
                socket.create_connection(('192.0.2.1', 80), 2)
            except OSError as e:
                print(type(e).__name__, e.errno)
            """);

    assertThat(recording.stdout()).startsWith("OSError ");
    unless(
        Difference.NO_ROUTE_IS_NO_HOST,
        () -> assertThat(recording.stdout()).isEqualTo("OSError 101\n"));
  }
}
