package dev.sandkeeper.server.engine.local;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineInputException;
import dev.sandkeeper.server.engine.EngineInputException.Kind;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.engine.Terminal;
import dev.sandkeeper.server.engine.guest.Guest;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Programs are given more to read while they run, by a pipe or by a terminal. */
class LocalEngineInputTest {
  private static final Optional<Terminal> TERMINAL =
      Optional.of(new Terminal(24, 80, "xterm-256color"));
  private static final int SIGKILL = 9;
  private static final int PIPE_BYTES = 64 * 1024;
  private static final String INTERRUPT = "\u0003";
  private static final String ESCAPE = "\u001b";

  private EngineFixture fixture;
  private EngineSandbox sandbox;
  private Recording recording;

  @BeforeEach
  void begin() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
    recording = new Recording();
  }

  @AfterEach
  void close() throws Exception {
    fixture.close();
  }

  @Test
  void whatIsSentComesBehindTheFirstInput() throws Exception {
    EngineExecution cat = start("cat", "one ", Optional.empty());
    assertThat(send(cat, 0, "two ")).isEqualTo(4);
    await().until(() -> recording.stdout().equals("one two "));
    assertThat(send(cat, 4, "three")).isEqualTo(9);
    cat.closeInput();
    cat.closeInput();

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout()).isEqualTo("one two three");
  }

  @Test
  void whatIsSentTwiceIsReadOnce() throws Exception {
    EngineExecution cat = start("cat", "", Optional.empty());
    send(cat, 0, "abc");
    assertThat(send(cat, 0, "abc")).isEqualTo(3);
    assertThat(send(cat, 1, "bcdef")).isEqualTo(6);
    EngineInputException gap = refusal(() -> send(cat, 7, "h"));
    assertThat(gap.kind()).isEqualTo(Kind.GAP);
    assertThat(gap.nextOffset()).isEqualTo(6);
    cat.closeInput();
    assertThat(send(cat, 3, "def")).isEqualTo(6);
    // The program may have ended with its input by now.
    assertThat(refusal(() -> send(cat, 6, "g")).kind()).isIn(Kind.CLOSED, Kind.OVER);

    recording.await();
    assertThat(recording.stdout()).isEqualTo("abcdef");
  }

  @Test
  void muchComesWholeToAProgramThatReads() throws Exception {
    EngineExecution count = start("sha256sum", "", Optional.empty());
    byte[] data = new byte[PIPE_BYTES];
    for (int i = 0; i < 64; i++) {
      count.sendInput((long) i * data.length, data);
    }
    count.closeInput();

    recording.await();
    assertThat(recording.stdout())
        // Of 4 MiB of zeros.
        .startsWith("bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8");
  }

  @Test
  void inputThatNobodyReadsIsBounded() throws Exception {
    EngineExecution sleeper = start("echo up; exec sleep 300", "", Optional.empty());
    byte[] data = new byte[1024];
    long[] sent = {0};
    EngineInputException full =
        refusal(() -> {
          while (true) {
            sent[0] = sleeper.sendInput(sent[0], data);
          }
        });

    assertThat(full.kind()).isEqualTo(Kind.FULL);
    assertThat(full.nextOffset()).isEqualTo(sent[0]);
    assertThat(sent[0])
        .isBetween((long) PIPE_BYTES, (long) Guest.MAX_WAITING_INPUT_BYTES + PIPE_BYTES);
    sleeper.closeInput();
    sleeper.signal(SIGKILL);
    assertThat(recording.await().reason()).isEqualTo(Reason.SIGNALED);
  }

  @Test
  void aProgramThatClosesItsInputIsSentNoMore() throws Exception {
    EngineExecution deaf = start("exec <&-; echo up; sleep 300", "", Optional.empty());
    await().until(() -> recording.stdout().equals("up\n"));
    send(deaf, 0, "a");

    await()
        .untilAsserted(
            () -> assertThat(refusal(() -> send(deaf, 1, "b")).kind()).isEqualTo(Kind.CLOSED));
    deaf.signal(SIGKILL);
    recording.await();
  }

  @Test
  void inputThatWasNotKeptOpenIsRefused() throws Exception {
    EngineExecution closed =
        sandbox.start(
            EngineFixture.of(EngineFixture.bash("cat; sleep 300"), Duration.ofMinutes(5), "in"),
            recording);
    await().until(() -> recording.stdout().equals("in"));

    assertThat(refusal(() -> send(closed, 0, "a")).kind()).isEqualTo(Kind.NOT_OPEN);
    assertThat(refusal(closed::closeInput).kind()).isEqualTo(Kind.NOT_OPEN);
    assertThat(refusal(() -> closed.resizeTerminal(24, 80)).kind()).isEqualTo(Kind.NO_TERMINAL);
    closed.signal(SIGKILL);
    recording.await();
    assertThat(refusal(() -> send(closed, 0, "a")).kind()).isEqualTo(Kind.OVER);
    assertThat(refusal(closed::closeInput).kind()).isEqualTo(Kind.OVER);
    assertThat(refusal(() -> closed.resizeTerminal(24, 80)).kind()).isEqualTo(Kind.OVER);
  }

  @Test
  void inputWaitsWhileTheSandboxIsPaused() throws Exception {
    EngineExecution cat = start("cat", "first", Optional.empty());
    await().until(() -> recording.stdout().equals("first"));
    sandbox.pause();

    assertThat(catchThrowableOfType(EngineException.class, () -> send(cat, 0, "a")).kind())
        .isEqualTo(EngineException.Kind.PAUSED);
    sandbox.resume();
    send(cat, 0, "a");
    await().until(() -> recording.stdout().equals("firsta"));
  }

  @Test
  void aTerminalIsTheProgramsOwn() throws Exception {
    start(
        "test -t 0 && test -t 1 && test -t 2 && stty size && echo $TERM && echo there >/dev/tty"
            + " && stat -c %U $(tty) && ps -o tpgid= -p $$ | tr -d ' ' | grep -qx $$ && echo leads",
        "", Optional.of(new Terminal(50, 132, "vt100")));

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout()).isEqualTo("50 132\r\nvt100\r\nthere\r\nuser\r\nleads\r\n");
    assertThat(recording.stderr()).isEmpty();
  }

  @Test
  void whatWasWrittenBeforeTheEndIsNotLost() throws Exception {
    for (int round = 0; round < 5; round++) {
      recording = new Recording();
      start("seq 50000; (sleep 300 &); echo last", "", TERMINAL);

      assertThat(recording.await().exitCode()).hasValue(0);
      assertThat(recording.stdout().lines().count()).isEqualTo(50_001);
      assertThat(recording.stdout()).endsWith("50000\r\nlast\r\n");
    }
  }

  @Test
  void aWindowThatChangesIsHeardOf() throws Exception {
    EngineExecution shell =
        start("trap 'stty size' WINCH; echo up; while :; do sleep 0.1; done", "", TERMINAL);
    await().until(() -> recording.stdout().equals("up\r\n"));
    shell.resizeTerminal(40, 100);
    await().until(() -> recording.stdout().contains("40 100"));
    shell.closeInput();
    shell.resizeTerminal(41, 101);
    await().until(() -> recording.stdout().contains("41 101"));
    shell.signal(SIGKILL);
    recording.await();
  }

  @Test
  void aTerminalThatWasClosedIsOpenedAgain() throws Exception {
    start("exec </dev/null >/dev/null 2>&1; sleep 0.3; echo back >/dev/tty", "", TERMINAL);

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout()).isEqualTo("back\r\n");
  }

  @Test
  void theKeyThatInterruptsReachesWhatFloodsTheTerminal() throws Exception {
    EngineExecution shell =
        start("trap 'echo; echo stopped; exit 7' INT; while :; do echo yes; done", "", TERMINAL);
    await().until(() -> recording.stdout().length() > 100_000);
    send(shell, 0, INTERRUPT);

    assertThat(recording.await().exitCode()).hasValue(7);
    assertThat(recording.stdout()).endsWith("stopped\r\n");
  }

  @Test
  void closingTheInputEndsItInATerminalToo() throws Exception {
    EngineExecution cat = start("stty -echo; echo up; cat", "", TERMINAL);
    await().until(() -> recording.stdout().equals("up\r\n"));
    send(cat, 0, "line\nand a begun one");
    cat.closeInput();

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout()).isEqualTo("up\r\nline\r\nand a begun one");
  }

  @Test
  void aTerminalWithoutOpenInputEndsItAtOnce() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            EngineFixture.open("", "", TERMINAL).id(),
            EngineFixture.bash("stty -echo; cat; test -t 0 && echo over"),
            Optional.empty(),
            Map.of(),
            new Stdio("typed\n".getBytes(UTF_8), false, TERMINAL),
            Duration.ofMinutes(5));
    sandbox.start(spec, recording);

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout()).endsWith("typed\r\nover\r\n");
  }

  @Test
  void vimEditsAFile() throws Exception {
    EngineExecution vim = start("vim -u NONE -i NONE written.txt", "", TERMINAL);
    await().until(() -> recording.stdout().contains("written.txt"));
    String keys = "ihello from vim" + ESCAPE + "yyp:wq\r";
    send(vim, 0, keys);

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("cat written.txt")).stdout())
        .isEqualTo("hello from vim\nhello from vim\n");
  }

  @Test
  void aPasswordIsNotEchoed() throws Exception {
    EngineExecution asker =
        start(
            "python3 -c 'import getpass; print(len(getpass.getpass(\"Password: \")))'",
            "",
            TERMINAL);
    await().until(() -> recording.stdout().equals("Password: "));
    send(asker, 0, "s3cret\n");

    recording.await();
    assertThat(recording.stdout()).isEqualTo("Password: \r\n6\r\n");
  }

  @Test
  void aShellControlsItsJobs() throws Exception {
    EngineExecution shell = start("PS1='> ' bash --norc -i", "", TERMINAL);
    await().until(() -> recording.stdout().contains("> "));
    long sent = send(shell, 0, "sleep 300\n");
    await()
        .until(() ->
            !EngineFixture.run(sandbox, EngineFixture.bash("pgrep -x sleep")).stdout().isEmpty());
    sent = send(shell, sent, "\u001a");
    await().until(() -> recording.stdout().contains("Stopped"));
    sent = send(shell, sent, "kill %1; wait %1; echo $((6 * 7))\n");
    await().until(() -> recording.stdout().contains("42\r\n"));
    send(shell, sent, "exit 5\n");

    assertThat(recording.await().exitCode()).hasValue(5);
  }

  private EngineExecution start(String line, String stdin, Optional<Terminal> terminal) {
    return sandbox.start(EngineFixture.open(line, stdin, terminal), recording);
  }

  static long send(EngineExecution execution, long offset, String text) {
    return execution.sendInput(offset, text.getBytes(UTF_8));
  }

  private static EngineInputException refusal(ThrowingCallable call) {
    return catchThrowableOfType(EngineInputException.class, call);
  }
}
