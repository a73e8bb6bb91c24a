package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Stdio;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Python code in the default context of a real sandbox. */
class LocalEngineContextTest {

  private static final Duration LONG = Duration.ofSeconds(30);
  private static final int SIGINT = 2;

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

  private static Recording python(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.python(source));
  }

  @Test
  void variablesSurviveAndTheLastExpressionIsTheResult() throws Exception {
    assertThat(python("kept = 20\nimport math").results()).isEmpty();
    Recording recording = python("print('seen')\nkept + math.floor(1.5)");

    assertThat(recording.stdout()).isEqualTo("seen\n");
    assertThat(recording.results()).isEqualTo(Map.of("text/plain", "21"));
    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.await().cpuMicros()).isPresent();
    assertThat(recording.await().peakMemoryBytes()).isPresent();
  }

  @Test
  void errorHasNameValueAndTracebackOfTheCodeAlone() throws Exception {
    Recording recording = python("def f():\n  return 1 / 0\nprint('before')\nf()");

    CodeError error = recording.errors().getFirst();
    assertThat(error.name()).isEqualTo("ZeroDivisionError");
    assertThat(error.value()).isEqualTo("division by zero");
    assertThat(error.traceback()).contains("line 2, in f", "return 1 / 0").doesNotContain("agent");
    assertThat(recording.stdout()).isEqualTo("before\n");
    assertThat(recording.await().reason()).isEqualTo(Reason.COMPLETED);
    assertThat(recording.await().exitCode()).hasValue(1);
  }

  @Test
  void syntaxErrorIsAnError() throws Exception {
    CodeError error = python("def (:").errors().getFirst();

    assertThat(error.name()).isEqualTo("SyntaxError");
    assertThat(error.traceback()).contains("def (:");
  }

  @Test
  void hugeErrorsAndResultsAreCut() throws Exception {
    CodeError error = python("raise ValueError('x' * 10_000_000)").errors().getFirst();
    assertThat(error.value().length()).isLessThan(20_000);
    assertThat(error.traceback().length()).isLessThan(70_000);

    assertThat(python("'y' * 50_000_000").results().values())
        .allSatisfy(result -> assertThat(result.length()).isBetween(1_000, 1_000_000));
  }

  @Test
  void errorThatCannotBePrintedIsStillOne() throws Exception {
    Recording recording =
        python("class E(Exception):\n  def __str__(self): raise RuntimeError()\nraise E()");

    assertThat(recording.errors().getFirst().name()).isEqualTo("E");
  }

  @Test
  void exitEndsTheCellButNotTheContext() throws Exception {
    python("before_exit = 1");
    Recording recording = python("import sys\nsys.exit(5)");

    assertThat(recording.await().exitCode()).hasValue(5);
    assertThat(recording.errors()).isEmpty();
    assertThat(python("before_exit").results()).containsEntry("text/plain", "1");
  }

  @Test
  void inputEnvironmentAndFolderAreThoseOfTheRun() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            new ExecutionId(EngineFixture.name()),
            EngineFixture.python(
                "import os\nprint(input(), input(), os.environ['ONCE'], os.getcwd())"),
            Optional.of("/tmp"),
            Map.of("ONCE", "yes"),
            Stdio.of("one\ntwo\n".getBytes(StandardCharsets.UTF_8)),
            LONG);

    assertThat(EngineFixture.run(sandbox, spec).stdout()).isEqualTo("one two yes /tmp\n");
    assertThat(python("import os\nprint(os.environ.get('ONCE'), os.getcwd())").stdout())
        .isEqualTo("None /home/user\n");
  }

  @Test
  void childrenOfTheCodePrintToTheSameStreams() throws Exception {
    Recording recording =
        python("import subprocess\nsubprocess.run(['echo', 'from a child'], check=True)\nNone");

    assertThat(recording.stdout()).isEqualTo("from a child\n");
  }

  @Test
  void codeThatForksTellsItsEndOnce() throws Exception {
    Recording recording = python("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n7");

    assertThat(recording.results()).containsEntry("text/plain", "7");
    assertThat(python("8").results()).containsEntry("text/plain", "8");
  }

  @Test
  void outputArrivesWhileTheCodeRuns() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(
            EngineFixture.of(
                EngineFixture.python("import time\nprint('first')\ntime.sleep(60)"), LONG, ""),
            recording);
    await().until(() -> recording.stdout().equals("first\n"));
    assertThat(recording.isFinished()).isFalse();

    execution.signal(SIGINT);
    recording.await();
  }

  @Test
  void interruptIsAnErrorAndKeepsTheVariables() throws Exception {
    python("before_interrupt = 2");
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(
            EngineFixture.of(EngineFixture.python("print('up')\nwhile True: pass"), LONG, ""),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGINT);

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("KeyboardInterrupt");
    assertThat(python("before_interrupt").results()).containsEntry("text/plain", "2");
  }

  @Test
  void cellsRunOneAfterTheOther() throws Exception {
    Recording first = new Recording();
    Recording second = new Recording();
    EngineExecution one =
        sandbox.start(
            EngineFixture.of(
                EngineFixture.python(
                    "import time\norder = ['a']\ntime.sleep(0.3)\norder.append('b')"),
                LONG,
                ""),
            first);
    first.awaitStarted();
    EngineExecution two =
        sandbox.start(EngineFixture.of(EngineFixture.python("order"), LONG, ""), second);

    second.await();
    assertThat(second.results()).containsEntry("text/plain", "['a', 'b']");
    assertThat(one.id()).isNotEqualTo(two.id());
  }

  @Test
  void deadlineEndsTheContextAndTheNextRunGetsAFreshOne() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      EngineFixture.run(other.sandbox(), EngineFixture.python("lost = 1"));
      Recording recording =
          EngineFixture.run(
              other.sandbox(),
              EngineFixture.of(
                  EngineFixture.python(
                      """
                      import signal, time, subprocess
                      signal.signal(signal.SIGTERM, signal.SIG_IGN)
                      subprocess.Popen(['setsid', 'sleep', '304'])
                      while True: time.sleep(1)
                      """),
                  Duration.ofMillis(800),
                  ""));

      assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
      Recording after = EngineFixture.run(other.sandbox(), EngineFixture.python("lost"));
      assertThat(after.errors().getFirst().name()).isEqualTo("NameError");
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.bash("pgrep -x sleep")).stdout())
          .isEmpty();
    }
  }

  @Test
  void processThatEndsItselfIsTold() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      assertThat(
              EngineFixture.run(
                      other.sandbox(), EngineFixture.python("import os\nprint('x')\nos._exit(9)"))
                  .await()
                  .exitCode())
          .hasValue(9);
      assertThat(
              EngineFixture.run(
                      other.sandbox(),
                      EngineFixture.python(
                          "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"))
                  .await()
                  .signal())
          .hasValue(11);
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("1 + 1")).results())
          .containsEntry("text/plain", "2");
    }
  }

  @Test
  void codeOfTwentyMegabytesRuns() throws Exception {
    String source = "# " + "x".repeat(20_000_000) + "\n'end'";

    assertThat(python(source).results()).containsEntry("text/plain", "'end'");
  }
}
