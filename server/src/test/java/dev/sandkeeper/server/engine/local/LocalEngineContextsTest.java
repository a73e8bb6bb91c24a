package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineContexts.Creation;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.RunningExecution;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Several contexts of a real sandbox. */
class LocalEngineContextsTest {
  private static final Duration LONG = Duration.ofSeconds(60);
  private static final Instant TIME = Instant.parse("2026-03-01T10:00:00.123456Z");
  private static final int SIGKILL = 9;
  private static final int INTERRUPTED = 130;

  private EngineFixture fixture;
  private EngineSandbox sandbox;

  @BeforeEach
  void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterEach
  void destroy() throws Exception {
    fixture.close();
  }

  @Test
  void contextsOfOneLanguageShareNoVariables() throws Exception {
    create("a", Language.PYTHON);
    create("b", Language.PYTHON);
    run("a", "x = 1");
    run("b", "x = 2");

    assertThat(run("a", "x").results()).containsEntry("text/plain", "1");
    assertThat(run("b", "x").results()).containsEntry("text/plain", "2");
    assertThat(EngineFixture.run(sandbox, EngineFixture.python("x")).errors().getFirst().name())
        .isEqualTo("NameError");
  }

  @Test
  void theDefaultOneHasTheNameOfItsLanguage() throws Exception {
    EngineFixture.run(sandbox, EngineFixture.python("x = 5"));

    assertThat(run("python", "x").results()).containsEntry("text/plain", "5");
    assertThat(sandbox.contexts().list())
        .contains(EngineContext.byDefault(Language.PYTHON))
        .noneMatch(context -> context.language() == Language.BASH);
  }

  @Test
  void severalRunAtOnceAndTheCellsOfOneAfterEachOther() throws Exception {
    create("a", Language.PYTHON);
    create("b", Language.PYTHON);
    Recording waiting =
        start("a", "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n'a'");
    Recording behind = start("a", "'behind'");
    waiting.awaitStarted();

    assertThat(run("b", "open('go', 'w').close()\n'b'").results())
        .containsEntry("text/plain", "'b'");
    waiting.await();
    behind.await();
    assertThat(behind.results()).containsEntry("text/plain", "'behind'");
  }

  @Test
  void anIdIsGivenOnceUntilItsContextIsDeleted() throws Exception {
    create("a", Language.PYTHON);
    run("a", "x = 1");

    assertThat(sandbox.contexts().create(context("a", Language.BASH, TIME), 16))
        .isEqualTo(Creation.EXISTS);
    assertThat(sandbox.contexts().create(context("python", Language.PYTHON, TIME), 16))
        .isEqualTo(Creation.EXISTS);
    assertThat(sandbox.contexts().delete(new ContextId("a"))).isTrue();
    assertThat(sandbox.contexts().delete(new ContextId("a"))).isFalse();
    assertThat(sandbox.contexts().delete(new ContextId("python"))).isFalse();
    assertThat(sandbox.contexts().create(context("a", Language.PYTHON, TIME.plusNanos(1000)), 16))
        .isEqualTo(Creation.CREATED);
    assertThat(run("a", "x").errors().getFirst().name()).isEqualTo("NameError");
  }

  @Test
  void thereAreNoMoreThanMayBe() {
    create("a", Language.PYTHON);

    assertThat(sandbox.contexts().create(context("b", Language.PYTHON, TIME), 1))
        .isEqualTo(Creation.TOO_MANY);
  }

  @Test
  void unknownOnesAndThoseOfAnotherLanguageAreRefused() {
    create("a", Language.PYTHON);

    assertThatThrownBy(() -> start("b", "1")).isInstanceOf(EngineException.class);
    assertThatThrownBy(() -> start("a", Language.BASH, "1")).isInstanceOf(EngineException.class);
  }

  @Test
  void itBeginsInItsFolder() throws Exception {
    EngineFixture.run(sandbox, EngineFixture.bash("mkdir 'a b'"));
    sandbox
        .contexts()
        .create(
            new EngineContext(
                new ContextId("there"), Language.PYTHON, Optional.of("a b"), Optional.of(TIME)),
            16);
    sandbox
        .contexts()
        .create(
            new EngineContext(
                new ContextId("nowhere"), Language.PYTHON, Optional.of("/no"), Optional.of(TIME)),
            16);

    String folder = "import os\nprint(os.getcwd())";
    assertThat(run("there", folder).stdout()).isEqualTo("/home/user/a b\n");
    run("there", "os.chdir('/tmp')");
    assertThat(run("there", folder).stdout()).isEqualTo("/tmp\n");
    sandbox.contexts().restart(new ContextId("there"));
    assertThat(run("there", folder).stdout()).isEqualTo("/home/user/a b\n");
    assertThat(run("nowhere", folder).errors().getFirst().value()).contains("working directory");
  }

  @Test
  void aContextsFolderMayHaveAnyName() throws Exception {
    EngineFixture.run(sandbox, EngineFixture.bash("mkdir $'b\\xe9'"));
    EngineContext context =
        new EngineContext(
            new ContextId("bytes"), Language.PYTHON, Optional.of("b\uEFE9"), Optional.of(TIME));
    sandbox.contexts().create(context, 16);

    assertThat(run("bytes", "import os\nos.getcwdb()").results())
        .containsEntry("text/plain", "b'/home/user/b\\xe9'");
    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    assertThat(sandbox.contexts().list()).contains(context);
  }

  @Test
  void interruptEndsTheCellAndKeepsTheVariables() throws Exception {
    create("a", Language.PYTHON);
    run("a", "x = 1");
    Recording other = start("python", "import time\nprint('up')\ntime.sleep(60)");
    Recording recording = start("a", "print('up')\nwhile True: pass");
    await().until(() -> recording.stdout().equals("up\n") && other.stdout().equals("up\n"));

    sandbox.contexts().interrupt(new ContextId("a"));

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("KeyboardInterrupt");
    assertThat(run("a", "x").results()).containsEntry("text/plain", "1");
    assertThat(other.isFinished()).isFalse();
  }

  @Test
  void interruptOfACellThatHasYetToBeginEndsThat() throws Exception {
    create("a", Language.PYTHON);
    Recording recording = start("a", "while True: pass");
    recording.awaitStarted();

    sandbox.contexts().interrupt(new ContextId("a"));

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("KeyboardInterrupt");
  }

  @Test
  void interruptOfNothingDoesNothing() throws Exception {
    create("a", Language.PYTHON);
    sandbox.contexts().interrupt(new ContextId("a"));
    run("a", "x = 1");
    sandbox.contexts().interrupt(new ContextId("a"));

    // Long enough to be hit by an interrupt that comes late.
    assertThat(run("a", "import time\ntime.sleep(0.2)\nx").results())
        .containsEntry("text/plain", "1");
  }

  @Test
  void restartDropsTheVariablesAndWhatRuns() throws Exception {
    create("a", Language.PYTHON);
    run("a", "x = 1");
    sandbox.contexts().restart(new ContextId("a"));
    assertThat(run("a", "x").errors().getFirst().name()).isEqualTo("NameError");
    Recording recording =
        start("a", "import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(60)");
    recording.awaitStarted();
    Recording waiting = start("a", "'next'");

    sandbox.contexts().restart(new ContextId("a"));

    assertThat(recording.await().reason()).isEqualTo(Reason.SIGNALED);
    assertThat(recording.await().signal()).hasValue(SIGKILL);
    waiting.await();
    assertThat(waiting.results()).containsEntry("text/plain", "'next'");
  }

  @Test
  void deletionEndsWhatRunsAndRefusesWhatWaits() throws Exception {
    create("a", Language.PYTHON);
    Recording recording =
        start("a", "import subprocess\nsubprocess.run(['setsid', 'sleep', '305'])");
    recording.awaitStarted();
    Recording waiting = start("a", "1");

    assertThat(sandbox.contexts().delete(new ContextId("a"))).isTrue();

    assertThat(recording.await().reason()).isEqualTo(Reason.SIGNALED);
    assertThat(waiting.await().reason()).isEqualTo(Reason.NOT_STARTED);
    assertThat(waiting.errors().getFirst().name()).isEqualTo("ContextDeleted");
    assertThat(sandbox.contexts().find(new ContextId("a"))).isEmpty();
    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("pgrep -x sleep")).stdout()).isEmpty();
  }

  @Test
  void theNextEngineHasThemWithTheirVariables() throws Exception {
    create("a", Language.PYTHON);
    create("sh", Language.BASH);
    run("a", "x = 40");
    run("sh", Language.BASH, "y=kept");
    Recording before = new Recording();
    ExecutionSpec.Code cell =
        code("a", Language.PYTHON, "import time\nprint('up')\ntime.sleep(1)\nx += 2");
    EngineExecution running = sandbox.start(EngineFixture.of(cell, LONG, ""), before);
    await().until(() -> before.stdout().equals("up\n"));
    List<EngineContext> contexts = sandbox.contexts().list();

    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();
    Recording after = new Recording(before.stdoutBytes().length);
    sandbox.takeUp(List.of(new RunningExecution(running.id(), before.told(), after)));

    assertThat(sandbox.contexts().list()).isEqualTo(contexts);
    assertThat(after.await().exitCode()).hasValue(0);
    assertThat(run("a", "x").results()).containsEntry("text/plain", "42");
    assertThat(run("sh", Language.BASH, "echo $y").stdout()).isEqualTo("kept\n");
    assertThat(EngineFixture.run(sandbox, EngineFixture.python("x")).errors()).hasSize(1);
    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("echo -$y-")).stdout())
        .isEqualTo("--\n");
    Recording loop = start("a", "print('up')\nwhile True: pass");
    await().until(() -> loop.stdout().equals("up\n"));
    sandbox.contexts().interrupt(new ContextId("a"));
    loop.await();
    assertThat(loop.errors().getFirst().name()).isEqualTo("KeyboardInterrupt");
  }

  @Test
  void pausedSandboxesRefuseChanges() {
    sandbox.pause();

    assertThatThrownBy(() -> create("a", Language.PYTHON))
        .isInstanceOfSatisfying(
            EngineException.class,
            e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.PAUSED));
  }

  // --- Bash.

  @Test
  void bashKeepsVariablesFolderAndFunctions() throws Exception {
    create("sh", Language.BASH);
    Recording first = bash("x='it''s'; f() { echo \"f $1\"; }; cd /tmp; false");
    assertThat(first.await().exitCode()).hasValue(1);
    assertThat(first.stderr()).isEmpty();

    Recording second = bash("echo $x; f a; pwd\ncat <<END\nhere $x\nEND\necho 'two\nlines'; cat");
    assertThat(second.stdout()).isEqualTo("its\nf a\n/tmp\nhere its\ntwo\nlines\n");
    assertThat(second.stderr()).isEmpty();
    assertThat(second.await().exitCode()).hasValue(0);
    assertThat(second.await().cpuMicros()).isPresent();
    assertThat(EngineFixture.run(sandbox, EngineFixture.bash("echo -$x-")).stdout())
        .isEqualTo("--\n");
  }

  @Test
  void bashSyntaxErrorsAndLargeCellsAreNoMatter() throws Exception {
    create("sh", Language.BASH);
    bash("x=1");

    Recording broken = bash("if [");
    assertThat(broken.stderr()).contains("syntax error");
    assertThat(broken.await().exitCode()).hasValue(2);
    assertThat(bash("echo '" + "y".repeat(200_000) + "' | wc -c; echo $x").stdout())
        .isEqualTo("200001\n1\n");
  }

  @Test
  void bashIsInterruptedAtOnceAndLater() throws Exception {
    create("sh", Language.BASH);
    for (String source : List.of("while :; do :; done", "f() { sleep 60; }; f; echo on")) {
      Recording recording = start("sh", Language.BASH, "x=1; " + source);
      recording.awaitStarted();
      sandbox.contexts().interrupt(new ContextId("sh"));
      assertThat(recording.await().exitCode()).hasValue(INTERRUPTED);
      assertThat(recording.stdout()).isEmpty();
      assertThat(bash("echo on").stdout()).isEqualTo("on\n");
    }
  }

  @Test
  void bashThatBreaksItsToolsGoesOnOrEnds() throws Exception {
    create("sh", Language.BASH);
    bash("x=1; eval() { echo no; }; unset() { echo no; }; builtin() { echo no; }");
    assertThat(bash("alias eval=false unset=false builtin=false").await().exitCode()).hasValue(0);
    assertThat(bash("printf() { :; }; IFS=0123456789; (exit 17)").await().exitCode()).hasValue(17);
    assertThat(bash("echo \"$x\"; exec 4>&-; exec 0>&-; exec 3>&-").stdout()).isEqualTo("1\n");
    assertThat(bash("set -u; echo $nope; echo on").await().exitCode()).hasValue(1);
    assertThat(bash("exit 3").await().exitCode()).hasValue(3);
    assertThat(bash("echo -$x-").stdout()).isEqualTo("--\n");
  }

  // --- Code that attacks what runs it.

  @Test
  void codeThatBreaksItsInterpreterBreaksItsContextAlone() throws Exception {
    create("a", Language.PYTHON);
    create("b", Language.PYTHON);
    run("b", "kept = 1");
    List<String> sources =
        List.of(
            "import os\nos.closerange(3, 100)",
            "import os\nos._exit(0)",
            "import builtins\nbuiltins.print = builtins.repr = builtins.len = None",
            "import builtins\nfor n in list(vars(builtins)): delattr(builtins, n)",
            "import sys\nsys.settrace(lambda *a: 1 / 0)\ndef f(): pass\nf()",
            "import sys\nsys.setrecursionlimit(5)",
            "import sys\nsys.stdout = sys.stderr = None\nsys.modules.clear()",
            "import os\nif os.fork() == 0: os._exit(1)\nos.wait()",
            """
            import os
            for fd in range(3, 20):
              try: os.write(fd, bytes(4) + b'\\x07' + bytes(6) + b'\\x01\\x00')
              except OSError: pass
            """,
            """
            import os
            for fd in range(3, 20):
              try: os.write(fd, b'\\xff' * 100)
              except OSError: pass
            """);
    for (String source : sources) {
      Recording recording = run("a", source);
      assertThat(recording.await().reason()).as(source).isIn(Reason.COMPLETED, Reason.SIGNALED);
      Recording next = run("a", "import sys\nsys.settrace(None)\n21 * 2");
      assertThat(next.await().reason()).as(source).isIn(Reason.COMPLETED, Reason.SIGNALED);
      sandbox.contexts().restart(new ContextId("a"));
      assertThat(run("a", "21 * 2").results()).as(source).containsEntry("text/plain", "42");
    }
    assertThat(run("b", "kept").results()).containsEntry("text/plain", "1");
  }

  @Test
  void forgedEndOfACellDoesNotEndTheNext() throws Exception {
    create("a", Language.PYTHON);
    Recording forger =
        run(
            "a",
            """
            import os, time
            for fd in range(3, 20):
              try: os.write(fd, bytes(4) + b'\\x07' + bytes(6) + b'\\x01\\x05')
              except OSError: pass
            time.sleep(0.5)
            """);
    assertThat(forger.await().exitCode()).hasValue(5);

    Recording next = run("a", "'whole'");
    assertThat(next.results()).containsEntry("text/plain", "'whole'");
    assertThat(next.await().exitCode()).hasValue(0);
  }

  private void create(String id, Language language) {
    assertThat(sandbox.contexts().create(context(id, language, TIME), 16))
        .isEqualTo(Creation.CREATED);
  }

  private static EngineContext context(String id, Language language, Instant time) {
    return new EngineContext(new ContextId(id), language, Optional.empty(), Optional.of(time));
  }

  private static ExecutionSpec.Code code(String id, Language language, String source) {
    return new ExecutionSpec.Code(language, source, Optional.of(new ContextId(id)));
  }

  private Recording start(String id, String source) {
    return start(id, Language.PYTHON, source);
  }

  private Recording start(String id, Language language, String source) {
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(EngineFixture.of(code(id, language, source), LONG, ""), recording);
    return recording;
  }

  private Recording run(String id, String source) throws Exception {
    return run(id, Language.PYTHON, source);
  }

  private Recording run(String id, Language language, String source) throws Exception {
    return EngineFixture.run(sandbox, code(id, language, source));
  }

  private Recording bash(String source) throws Exception {
    return run("sh", Language.BASH, source);
  }
}
