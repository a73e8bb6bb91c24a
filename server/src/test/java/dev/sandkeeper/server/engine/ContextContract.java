package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.EngineContexts.Creation;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Python code, whose variables live on. */
interface ContextContract extends EngineUnderTest {

  @Test
  default void variablesSurviveAndTheLastExpressionIsTheResult() throws Exception {
    assertThat(python("kept = 20\nimport math").results()).isEmpty();
    Recording recording = python("print('seen')\nkept + math.floor(1.5)");

    assertThat(recording.stdout()).isEqualTo("seen\n");
    assertThat(recording.results()).isEqualTo(Map.of("text/plain", "21"));
    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.await().cpuMicros()).isPresent();
    unless(
        Difference.NO_PEAK_MEMORY,
        () -> assertThat(recording.await().peakMemoryBytes()).isPresent());
  }

  @Test
  default void errorHasNameValueAndTracebackOfTheCodeAlone() throws Exception {
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
  default void exitEndsTheCellButNotTheContext() throws Exception {
    python("before_exit = 1");
    Recording recording = python("import sys\nsys.exit(5)");

    assertThat(recording.await().exitCode()).hasValue(5);
    assertThat(recording.errors()).isEmpty();
    assertThat(python("before_exit").results()).containsEntry("text/plain", "1");
  }

  @Test
  default void inputEnvironmentAndFolderAreThoseOfTheRun() throws Exception {
    ExecutionSpec spec =
        new ExecutionSpec(
            new ExecutionId(Requests.name()),
            Requests.python("import os\nprint(input(), input(), os.environ['ONCE'], os.getcwd())"),
            Optional.of("/tmp"),
            Map.of("ONCE", "yes"),
            Stdio.of("one\ntwo\n".getBytes(StandardCharsets.UTF_8)),
            LONG);

    assertThat(Requests.run(shared(), spec).stdout()).isEqualTo("one two yes /tmp\n");
    assertThat(python("import os\nprint(os.environ.get('ONCE'), os.getcwd())").stdout())
        .isEqualTo("None /home/user\n");
  }

  @Test
  default void childrenOfTheCodePrintToTheSameStreams() throws Exception {
    Recording recording =
        python("import subprocess\nsubprocess.run(['echo', 'from a child'], check=True)\nNone");

    assertThat(recording.stdout()).isEqualTo("from a child\n");
  }

  @Test
  default void outputArrivesWhileTheCodeRuns() throws Exception {
    Recording recording = new Recording();
    EngineExecution execution =
        shared()
            .start(
                Requests.of(
                    Requests.python("import time\nprint('first')\ntime.sleep(60)"), LONG, ""),
                recording);
    await().until(() -> recording.stdout().equals("first\n"));
    assertThat(recording.isFinished()).isFalse();

    execution.signal(SIGINT);
    recording.await();
  }

  @Test
  default void interruptIsAnErrorAndKeepsTheVariables() throws Exception {
    python("before_interrupt = 2");
    Recording recording = new Recording();
    EngineExecution execution =
        shared()
            .start(
                Requests.of(Requests.python("print('up')\nwhile True: pass"), LONG, ""), recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGINT);

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("KeyboardInterrupt");
    assertThat(python("before_interrupt").results()).containsEntry("text/plain", "2");
  }

  @Test
  default void cellsRunOneAfterTheOther() throws Exception {
    Recording first = new Recording();
    Recording second = new Recording();
    EngineExecution one =
        shared()
            .start(
                Requests.of(
                    Requests.python(
                        "import time\norder = ['a']\ntime.sleep(0.3)\norder.append('b')"),
                    LONG,
                    ""),
                first);
    first.awaitStarted();
    EngineExecution two = shared().start(Requests.of(Requests.python("order"), LONG, ""), second);

    second.await();
    assertThat(second.results()).containsEntry("text/plain", "['a', 'b']");
    assertThat(one.id()).isNotEqualTo(two.id());
  }

  @Test
  default void deadlineEndsTheContextAndTheNextRunGetsAFreshOne() throws Exception {
    EngineSandbox other = create();
    Requests.run(other, Requests.python("lost = 1"));
    Recording recording =
        Requests.run(
            other,
            Requests.of(
                Requests.python(
                    """
                    import signal, time, subprocess
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    subprocess.Popen(['setsid', 'sleep', '304'])
                    while True: time.sleep(1)
                    """),
                Duration.ofMillis(800),
                ""));

    assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
    Recording after = Requests.run(other, Requests.python("lost"));
    assertThat(after.errors().getFirst().name()).isEqualTo("NameError");
    assertThat(Requests.run(other, Requests.bash("pgrep -x sleep")).stdout()).isEmpty();
  }

  @Test
  default void processThatEndsItselfIsTold() throws Exception {
    EngineSandbox other = create();
    assertThat(
            Requests.run(other, Requests.python("import os\nprint('x')\nos._exit(9)"))
                .await()
                .exitCode())
        .hasValue(9);
    assertThat(
            Requests.run(
                    other,
                    Requests.python("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"))
                .await()
                .signal())
        .hasValue(11);
    assertThat(Requests.run(other, Requests.python("1 + 1")).results())
        .containsEntry("text/plain", "2");
  }

  @Test
  default void codeOfTwentyMegabytesRuns() throws Exception {
    String source = "# " + "x".repeat(20_000_000) + "\n'end'";

    assertThat(python(source).results()).containsEntry("text/plain", "'end'");
  }

  @Test
  default void contextsHaveVariablesOfTheirOwnUntilTheyAreDeleted() throws Exception {
    EngineSandbox own = create();
    EngineContexts contexts = own.contexts();
    EngineContext one =
        new EngineContext(
            new ContextId("one"), Language.PYTHON, Optional.empty(), Optional.of(Instant.EPOCH));

    assertThat(contexts.create(one, 16)).isEqualTo(Creation.CREATED);
    assertThat(contexts.create(one, 16)).isEqualTo(Creation.EXISTS);
    Requests.run(own, cell("x = 1", one));
    Requests.run(own, Requests.python("x = 2"));
    assertThat(Requests.run(own, cell("x", one)).results()).containsEntry("text/plain", "1");
    contexts.restart(one.id());
    assertThat(Requests.run(own, cell("x", one)).errors().getFirst().name()).isEqualTo("NameError");
    assertThat(contexts.delete(one.id())).isTrue();
    assertThat(contexts.delete(one.id())).isFalse();
    assertThatThrownBy(() -> Requests.run(own, cell("x", one))).isInstanceOf(EngineException.class);
    assertThat(Requests.run(own, Requests.python("x")).results()).containsEntry("text/plain", "2");
  }

  private static ExecutionSpec.Code cell(String source, EngineContext context) {
    return new ExecutionSpec.Code(context.language(), source, Optional.of(context.id()));
  }
}
