package dev.sandkeeper.server.engine.local;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineInputException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.RunningExecution;
import dev.sandkeeper.server.engine.Terminal;
import dev.sandkeeper.server.engine.guest.Guest;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Executions go on while their engine is gone, and the next one hears of every byte once. */
class LocalEngineTakeUpTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final int MEBIBYTE = 1024 * 1024;
  private static final int SIGTERM = 15;

  private EngineFixture fixture;
  private EngineSandbox sandbox;

  @BeforeEach
  void begin() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.engine().create(EngineFixture.spec());
  }

  @AfterEach
  void close() throws Exception {
    fixture.close();
  }

  @Test
  void whatWasToldIsNotToldAgainAndNothingIsLeftOut() throws Exception {
    Recording before = new Recording();
    ExecutionId id =
        start(
            EngineFixture.bash("for i in {1..500}; do echo $i; sleep 0.01; done; exit 3"), before);
    await().until(() -> before.stdout().length() > 100);

    Recording after = takeUp(id, before);

    ExecutionEnd end = after.await();
    assertThat(end.reason()).isEqualTo(Reason.COMPLETED);
    assertThat(end.exitCode()).hasValue(3);
    assertThat(before.stdout() + after.stdout()).isEqualTo(lines(500));
    assertThat(before.isFinished()).isFalse();
  }

  @Test
  void whatEndedMeanwhileIsToldWhole() throws Exception {
    Recording before = new Recording();
    ExecutionId id =
        start(EngineFixture.bash("echo up; sleep 1; echo on; touch over; exit 4"), before);
    await().until(() -> before.stdout().equals("up\n"));

    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    await()
        .until(
            () -> EngineFixture.run(sandbox, EngineFixture.bash("ls")).stdout().equals("over\n"));
    Recording after = new Recording(before.stdoutBytes().length);
    sandbox.takeUp(List.of(new RunningExecution(id, before.told(), after)));

    assertThat(after.await().exitCode()).hasValue(4);
    assertThat(after.stdout()).isEqualTo("on\n");
  }

  @Test
  void moreThanIsKeptWaitsForTheNextEngine() throws Exception {
    Recording before = new Recording();
    // Ten times what a supervisor keeps.
    ExecutionId id =
        start(
            EngineFixture.bash("echo up; sleep 0.3; head -c 10485760 /dev/zero; echo end"), before);
    await().until(() -> before.stdout().equals("up\n"));

    Recording after = takeUp(id, before);

    assertThat(after.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(after.stdoutBytes()).hasSize(10 * MEBIBYTE + 4);
  }

  @Test
  void aCellGoesOnWithItsVariables() throws Exception {
    EngineFixture.run(sandbox, EngineFixture.python("kept = 40"));
    Recording before = new Recording();
    ExecutionId id =
        start(
            EngineFixture.python(
                "import time\nprint('up', flush=True)\ntime.sleep(1)\nprint('on')\nkept += 2\nkept"),
            before);
    await().until(() -> before.stdout().equals("up\n"));

    Recording after = takeUp(id, before);

    assertThat(after.await().exitCode()).hasValue(0);
    assertThat(after.stdout()).isEqualTo("on\n");
    assertThat(after.results()).containsEntry("text/plain", "42");
    assertThat(EngineFixture.run(sandbox, EngineFixture.python("kept")).results())
        .containsEntry("text/plain", "42");
  }

  @Test
  void anEngineThatKeptNothingHearsAllAgain() throws Exception {
    Recording before = new Recording();
    ExecutionId id = start(EngineFixture.bash("seq 100; sleep 1; seq 101 200"), before);
    await().until(() -> before.stdout().equals(lines(100)));

    Recording after = takeUp(id, new Recording());

    assertThat(after.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(after.awaitStarted()).isEqualTo(before.awaitStarted());
    assertThat(after.stdout()).isEqualTo(lines(200));
  }

  @Test
  void oneEngineAfterTheOtherGoesOn() throws Exception {
    Recording first = new Recording();
    ExecutionId id =
        start(EngineFixture.bash("for i in {1..400}; do echo $i; sleep 0.01; done"), first);
    await().until(() -> first.stdout().length() > 20);
    String output = "";
    long told = 0;
    Recording heard = first;
    for (int round = 0; round < 4; round++) {
      fixture.restart();
      told += heard.told();
      output += heard.stdout();
      sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
      Recording next = new Recording(output.length());
      sandbox.takeUp(List.of(new RunningExecution(id, told, next)));
      await().until(() -> next.told() > 2 || next.isFinished());
      heard = next;
    }

    assertThat(heard.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(output + heard.stdout()).isEqualTo(lines(400));
  }

  @Test
  void itIsSignalledThroughTheNextEngine() throws Exception {
    Recording before = new Recording();
    ExecutionId id = start(EngineFixture.bash("echo up; sleep 300"), before);
    await().until(() -> before.stdout().equals("up\n"));
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording after = new Recording();

    List<EngineExecution> handles =
        sandbox.takeUp(List.of(new RunningExecution(id, before.told(), after)));
    handles.getFirst().signal(SIGTERM);

    ExecutionEnd end = after.await();
    assertThat(end.reason()).isEqualTo(Reason.SIGNALED);
    assertThat(end.signal()).hasValue(SIGTERM);
  }

  @Test
  void inputGoesOnWhereItWas() throws Exception {
    Recording before = new Recording();
    EngineExecution cat =
        sandbox.start(EngineFixture.open("cat", "first ", Optional.empty()), before);
    cat.sendInput(0, "before ".getBytes(UTF_8));
    await().until(() -> before.stdout().equals("first before "));
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording after = new Recording(before.stdoutBytes().length);

    EngineExecution again = takenUp(cat.id(), before, after);
    // An answer that was lost with the server: the same is sent again.
    assertThat(again.sendInput(0, "before after".getBytes(UTF_8))).isEqualTo(12);
    again.closeInput();

    assertThat(after.await().exitCode()).hasValue(0);
    assertThat(after.stdout()).isEqualTo("after");
  }

  @Test
  void inputThatWasTakenIsReadAfterTheEngineIsGone() throws Exception {
    Recording before = new Recording();
    EngineExecution slow =
        sandbox.start(
            EngineFixture.open("until [ -e go ]; do sleep 0.05; done; wc -c", "", Optional.empty()),
            before);
    byte[] chunk = new byte[Guest.MAX_WAITING_INPUT_BYTES / 2];
    slow.sendInput(0, chunk);
    slow.sendInput(chunk.length, chunk);
    slow.closeInput();
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording after = new Recording();

    EngineExecution again = takenUp(slow.id(), before, after);
    EngineInputException closed =
        catchThrowableOfType(
            EngineInputException.class, () -> again.sendInput(2L * chunk.length, chunk));
    assertThat(closed.kind()).isEqualTo(EngineInputException.Kind.CLOSED);
    assertThat(closed.nextOffset()).isEqualTo(2L * chunk.length);
    EngineFixture.run(sandbox, EngineFixture.bash("touch go"));

    after.await();
    assertThat(after.stdout().strip()).isEqualTo(Integer.toString(2 * chunk.length));
  }

  @Test
  void aTerminalIsTypedIntoAndSizedThroughTheNextEngine() throws Exception {
    Recording before = new Recording();
    EngineExecution shell =
        sandbox.start(
            EngineFixture.open(
                "trap 'stty size' WINCH; echo up; while read -s line; do echo got $line; done",
                "",
                Optional.of(new Terminal(24, 80, "xterm"))),
            before);
    await().until(() -> before.stdout().equals("up\r\n"));
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording after = new Recording(before.stdoutBytes().length);

    EngineExecution again = takenUp(shell.id(), before, after);
    again.resizeTerminal(30, 90);
    // The shell sees to its signal once it has read a line.
    again.sendInput(0, "this\n".getBytes(UTF_8));
    await().until(() -> after.stdout().contains("30 90"));
    await().until(() -> after.stdout().contains("got this"));
    again.closeInput();

    assertThat(after.await().reason()).isEqualTo(Reason.COMPLETED);
  }

  @Test
  void inputThatIsNotOpenIsStillRefused() throws Exception {
    Recording before = new Recording();
    ExecutionId id = start(EngineFixture.bash("echo up; sleep 300"), before);
    await().until(() -> before.stdout().equals("up\n"));
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();

    EngineExecution again = takenUp(id, before, new Recording(before.stdoutBytes().length));
    assertThat(
            catchThrowableOfType(
                    EngineInputException.class, () -> again.sendInput(0, "a".getBytes(UTF_8)))
                .kind())
        .isEqualTo(EngineInputException.Kind.NOT_OPEN);
    assertThat(
            catchThrowableOfType(EngineInputException.class, () -> again.resizeTerminal(1, 1))
                .kind())
        .isEqualTo(EngineInputException.Kind.NO_TERMINAL);
  }

  private EngineExecution takenUp(ExecutionId id, Recording before, Recording after) {
    return sandbox.takeUp(List.of(new RunningExecution(id, before.told(), after))).getFirst();
  }

  @Test
  void whatTheSandboxKnowsNothingOfIsLost() throws Exception {
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording recording = new Recording();

    sandbox.takeUp(
        List.of(new RunningExecution(new ExecutionId(EngineFixture.name()), 5, recording)));

    assertThat(recording.await().reason()).isEqualTo(Reason.LOST);
  }

  @Test
  void whatAPausedSandboxRanGoesOnOnceItIsResumed() throws Exception {
    Recording before = new Recording();
    ExecutionId id = start(EngineFixture.bash("echo up; sleep 0.5; echo on"), before);
    await().until(() -> before.stdout().equals("up\n"));
    sandbox.pause();

    Recording after = takeUp(id, before);
    assertThat(after.isFinished()).isFalse();
    sandbox.resume();

    assertThat(after.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(after.stdout()).isEqualTo("on\n");
  }

  private ExecutionId start(ExecutionSpec.Run run, Recording recording) {
    return sandbox.start(EngineFixture.of(run, LONG, ""), recording).id();
  }

  /** Has another engine go on with it. */
  private Recording takeUp(ExecutionId id, Recording before) {
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording after = new Recording(before.stdoutBytes().length);
    sandbox.takeUp(List.of(new RunningExecution(id, before.told(), after)));
    return after;
  }

  private static String lines(int last) {
    return IntStream.rangeClosed(1, last).mapToObj(i -> i + "\n").collect(Collectors.joining());
  }
}
