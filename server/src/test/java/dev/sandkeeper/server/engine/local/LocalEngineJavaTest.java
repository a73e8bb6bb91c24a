package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Java code in the context of a real sandbox, of the least memory that the service gives. */
class LocalEngineJavaTest extends CellsOfOneLanguage {
  private static final int SIGINT = 2;

  LocalEngineJavaTest() {
    super(Language.JAVA);
  }

  @Test
  void codeTooDeepForTheCompilerIsAnError() throws Exception {
    run(
        "int kept = 4; var pool = java.util.concurrent.Executors.newFixedThreadPool(1);"
            + " pool.submit(() -> {});");

    CodeError error = error("int x = 1" + "+1".repeat(20_000) + ";");

    assertThat(error.name()).isEqualTo("java.lang.StackOverflowError");
    assertThat(result("kept + 1")).isEqualTo("5");
    run("pool.shutdown()");
  }

  @Test
  void declarationsSurviveAndTheLastValueIsTheResult() throws Exception {
    Recording recording =
        run(
            """
            import java.time.Duration;
            // A word on it.
            record Point(int x, int y) {}
            int one = 1; var größe = "漢字 🎉";
            int twice(int n) {
              return 2 * n;
            }
            """);
    assertThat(recording.errors()).isEmpty();
    assertThat(recording.results()).isEmpty();
    recording =
        run(
            "System.out.println(größe); System.err.print(Duration.ofSeconds(2));\n"
                + "one = 20;\ntwice(new Point(one, 1).x())");

    assertThat(recording.stdout()).isEqualTo("漢字 🎉\n");
    assertThat(recording.stderr()).isEqualTo("PT2S");
    assertThat(recording.results()).containsEntry("text/plain", "40");
    ExecutionEnd end = recording.await();
    assertThat(end.exitCode()).hasValue(0);
    assertThat(end.cpuMicros().getAsLong()).isPositive();
    assertThat(end.peakMemoryBytes().getAsLong()).isGreaterThan(10_000_000);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "1 + 1 // and so on                   | 2",
        "/* first */ 1 + 1                    | 2",
        "int v = 5;                           | ``",
        "int w = 5; w                         | 5",
        "int u; u = 7                         | 7",
        "List.of(1, 2)                        | [1, 2]",
        "Stream.of(3).toList()                | [3]",
        "\"text\"                             | \"text\"",
        "new int[] {1, 2}                     | int[2] { 1, 2 }",
        "null                                 | null",
        "if (1 > 0) { }                       | ``",
        "// nothing                           | ``",
        "System.in.read()                     | -1",
        "System.getenv(\"OF_SANDBOX\")        | \"yes\"",
        "Path.of(\"\").toAbsolutePath()       | /home/user",
      })
  void resultIsTheValueOfTheLastExpression(String source, String expected) throws Exception {
    assertThat(result(source)).isEqualTo(expected);
  }

  @Test
  void exceptionHasNameValueAndTheLinesOfItsCells() throws Exception {
    run("\nint divided(int by) {\n  return 1 / by;\n}");
    Recording recording = run("System.out.println(1);\n\ndivided(0)");

    CodeError error = recording.errors().getFirst();
    assertThat(error.name()).isEqualTo("ArithmeticException");
    assertThat(error.value()).isEqualTo("/ by zero");
    assertThat(error.traceback())
        .matches(
            "java.lang.ArithmeticException: / by zero\n"
                + "    at divided\\(cell-\\d+:3\\)\n    at cell-\\d+:3");
    assertThat(recording.stdout()).isEqualTo("1\n");
    assertThat(recording.await().exitCode()).hasValue(1);
  }

  @Test
  void causesAndOwnExceptionsAreTold() throws Exception {
    CodeError error =
        error(
            "class Mine extends Exception { Mine(String m, Throwable t) { super(m, t); } }\n"
                + "throw new Mine(\"outer\", new IllegalStateException(\"inner\"));");

    assertThat(error.name()).isEqualTo("Mine");
    assertThat(error.traceback())
        .contains("Mine: outer\n", "Caused by: java.lang.IllegalStateException: inner");
  }

  @Test
  void mistakeShowsThePlace() throws Exception {
    CodeError error = error("int fine = 1;\nint wrong = fine.length;");

    assertThat(error.name()).isEqualTo("CompileError");
    assertThat(error.value()).isEqualTo("int cannot be dereferenced");
    assertThat(error.traceback())
        .matches(
            "cell-\\d+:2: error: int cannot be dereferenced\n" + "int wrong = fine.length;\n +\\^");
    assertThat(result("fine")).isEqualTo("1");
    assertThat(error("notThere()").value()).startsWith("cannot find symbol");
  }

  @ParameterizedTest
  @ValueSource(strings = {"int q = ;", "for (;;) {", "\"never closed"})
  void nothingRunsOfWhatCannotBeCut(String mistake) throws Exception {
    CodeError error = error("int never = 1;\n" + mistake);

    assertThat(error.name()).isEqualTo("CompileError");
    assertThat(error.traceback()).containsPattern("^cell-\\d+:2: error: ");
    assertThat(error("never").name()).isEqualTo("CompileError");
  }

  @Test
  void whatIsDeclaredLaterMayBeUsedBefore() throws Exception {
    assertThat(result("int early() { return late(); }")).isEmpty();
    CodeError error = error("early()");
    assertThat(error.name()).isEqualTo("UnresolvedReference");
    assertThat(error.value()).contains("late()");

    assertThat(result("int late() { return 4; }\nearly()")).isEqualTo("4");
  }

  @Test
  void floodOfOutputArrivesWholeAndBeforeTheResult() throws Exception {
    Recording recording =
        run("for (int i = 0; i < 100_000; i++) System.out.println(\"line \" + i);\n1");

    assertThat(recording.stdout()).hasLineCount(100_000).endsWith("line 99999\n");
    assertThat(recording.results()).containsEntry("text/plain", "1");
  }

  @Test
  void hugeResultsAndErrorsAreCut() throws Exception {
    assertThat(result("\"y\".repeat(10_000_000)")).hasSizeBetween(1_000, 1_000_000);
    CodeError error = error("throw new Error(\"x\".repeat(2_000_000));");
    assertThat(error.value().length()).isLessThan(20_000);
    assertThat(error.traceback().length()).isLessThan(70_000);
    assertThat(error("int deep(int n) { return deep(n + 1) + 1; }\ndeep(0)").name())
        .isEqualTo("StackOverflowError");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "while (true);",
        "Thread.sleep(100_000);",
        "while (true) { try { Thread.sleep(10); } catch (InterruptedException e) { } }",
        "new ProcessBuilder(\"sleep\", \"100\").start().waitFor(); while (true);",
      })
  void interruptEndsTheRunAndKeepsTheVariables(String source) throws Exception {
    run("int beforeInterrupt = 2;");
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(
            EngineFixture.of(
                EngineFixture.code(Language.JAVA, "System.out.println(\"up\");" + source),
                LONG,
                ""),
            recording);
    await().atMost(LONG).until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGINT);

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("Interrupted");
    assertThat(result("beforeInterrupt")).isEqualTo("2");
  }

  @Test
  void contextsRunAtOnceAndAreRestartedApart() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      ContextId python = new ContextId("python");
      Recording waiting =
          start(
              other.sandbox(),
              "int kept = 1; System.out.println(\"up\"); while (!Files.exists(Path.of(\"go\")));",
              LONG);
      await().atMost(LONG).until(() -> waiting.stdout().equals("up\n"));
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("3")).results())
          .containsEntry("text/plain", "3");
      EngineFixture.run(other.sandbox(), EngineFixture.bash("touch go"));
      assertThat(waiting.await().exitCode()).hasValue(0);

      other.sandbox().contexts().restart(python);
      assertThat(run(other.sandbox(), "kept").results()).containsEntry("text/plain", "1");
      other.sandbox().contexts().restart(new ContextId("java"));
      assertThat(run(other.sandbox(), "kept").errors().getFirst().name()).isEqualTo("CompileError");
    }
  }

  @Test
  void heapThatIsFullIsAnErrorAndTheSandboxGoesOn() throws Exception {
    CodeError error =
        error("var all = new ArrayList<byte[]>(); while (true) all.add(new byte[1 << 20]);");

    assertThat(error.name()).isEqualTo("OutOfMemoryError");
    assertThat(result("all = null; 3")).isEqualTo("3");
  }

  @Test
  void exitEndsTheContextAndNoOther() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      EngineFixture.run(other.sandbox(), EngineFixture.python("x = 5"));
      Recording recording = run(other.sandbox(), "int lost = 1; System.exit(7);");

      assertThat(recording.await().exitCode()).hasValue(7);
      assertThat(run(other.sandbox(), "lost").errors().getFirst().name()).isEqualTo("CompileError");
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("x")).results())
          .containsEntry("text/plain", "5");
    }
  }

  @Test
  void deadlineEndsTheContextAndTheNextRunGetsAFreshOne() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      assertThat(run(other.sandbox(), "int lost = 1;").errors()).isEmpty();
      Recording recording = start(other.sandbox(), "while (true);", Duration.ofMillis(500));

      assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
      assertThat(run(other.sandbox(), "lost").errors().getFirst().name()).isEqualTo("CompileError");
    }
  }

  /**
   * Whatever code does, the end of its run is told within its deadline, and a new process works.
   */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "System.out.close(); System.err.close();",
        "System.setOut(null); System.setErr(null);",
        "Thread.getAllStackTraces().keySet().forEach(Thread::interrupt);",
        "Thread.setDefaultUncaughtExceptionHandler((t, e) -> { while (true); });",
        "new Thread(() -> { while (true); }).start();",
        "Runtime.getRuntime().halt(3);",
        "ProcessHandle.current().pid(); new ProcessBuilder(\"bash\", \"-c\", \"kill -9 $PPID\").start();",
        "var fd = new FileDescriptor(); var f = FileDescriptor.class.getDeclaredField(\"fd\");"
            + " f.setAccessible(true); f.setInt(fd, 3); new FileOutputStream(fd).write(new byte[100_000]);",
        "var fd = new FileDescriptor(); var f = FileDescriptor.class.getDeclaredField(\"fd\");"
            + " f.setAccessible(true); f.setInt(fd, 3); new FileInputStream(fd).close();",
      })
  void hostileCodeBreaksItsOwnContextAtMost(String source) throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      // With what the start takes.
      assertThat(run(other.sandbox(), "1").errors()).isEmpty();
      for (String code : new String[] {source, "1 + 1"}) {
        start(other.sandbox(), code, Duration.ofSeconds(10)).await();
      }

      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("3")).results())
          .containsEntry("text/plain", "3");
      other.sandbox().contexts().restart(new ContextId("java"));
      assertThat(run(other.sandbox(), "5").results()).containsEntry("text/plain", "5");
    }
  }
}
