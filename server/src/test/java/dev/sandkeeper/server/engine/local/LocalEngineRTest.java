package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
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

/** R code in the context of a real sandbox. */
class LocalEngineRTest extends CellsOfOneLanguage {
  private static final int SIGINT = 2;

  LocalEngineRTest() {
    super(Language.R);
  }

  @Test
  void variablesSurviveAndTheLastValueIsTheResult() throws Exception {
    assertThat(run("größe <- '漢字'; twice <- function(n) 2 * n").results()).isEmpty();
    Recording recording = run("cat(größe, '\\n'); message('aside')\ntwice(21)");

    assertThat(recording.stdout()).isEqualTo("漢字 \n");
    assertThat(recording.stderr()).isEqualTo("aside\n");
    assertThat(recording.results()).containsEntry("text/plain", "[1] 42");
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
        "1 + 1 # and so on                   | [1] 2",
        "'größe'                             | [1] \"größe\"",
        "x9 <- 5                             | ``",
        "invisible(5)                        | ``",
        "(x9 <- 5)                           | [1] 5",
        "NULL                                | NULL",
        "# nothing                           | ``",
        "if (FALSE) 1                        | ``",
        "getwd()                             | [1] \"/home/user\"",
        "Sys.getenv('OF_SANDBOX')            | [1] \"yes\"",
        "ls(pattern = 'requests')            | character(0)",
        "length(readLines('stdin'))          | [1] 0",
        "methods::new('numeric')             | numeric(0)",
      })
  void resultIsTheVisibleValueOfTheLastExpression(String source, String expected) throws Exception {
    assertThat(result(source)).isEqualTo(expected);
  }

  @Test
  void dataFrameHasItsData() throws Exception {
    Recording recording =
        run("data.frame(n = c(1.5, NA), s = c('a\"\\n', '<b>'), l = c(TRUE, FALSE))");

    assertThat(recording.results())
        .containsOnlyKeys("text/plain", "text/html", "application/vnd.sandkeeper.table.v1+json");
    JsonNode table =
        new ObjectMapper()
            .readTree(recording.results().get("application/vnd.sandkeeper.table.v1+json"));
    assertThat(table.toString())
        .isEqualTo(
            "{\"columns\":[{\"name\":\"n\",\"type\":\"numeric\"},{\"name\":\"s\",\"type\":\"character\"},"
                + "{\"name\":\"l\",\"type\":\"logical\"}],\"index\":[1,2],"
                + "\"rows\":[[1.5,\"a\\\"\\n\",true],[null,\"<b>\",false]],"
                + "\"row_count\":2,\"column_count\":3}");
    assertThat(recording.results().get("text/html")).contains("<td>&lt;b&gt;");
  }

  @Test
  void largeDataFrameIsBounded() throws Exception {
    Recording recording = run("as.data.frame(matrix(1, 5000, 200))");

    JsonNode table =
        new ObjectMapper()
            .readTree(recording.results().get("application/vnd.sandkeeper.table.v1+json"));
    assertThat(table.get("rows")).hasSize(1000);
    assertThat(table.get("rows").get(0)).hasSize(100);
    assertThat(table.get("row_count").intValue()).isEqualTo(5000);
    assertThat(run("data.frame()").errors()).isEmpty();
    assertThat(run("iris").results()).hasSize(3);
  }

  @Test
  void aFunctionMayHaveTheNameOfOneOfRs() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      String names =
          "c paste paste0 lapply vapply length flush writeBin readBin list cat unlist seq_len nchar"
              + " substr identical rev sum file.size ifelse";
      run(
          other.sandbox(),
          "for (n in strsplit('%s', ' ')[[1]]) assign(n, function(...) stop('mine'), globalenv())"
              .formatted(names));

      Recording recording = run(other.sandbox(), "base::cat('on\\n'); data.frame(x = 1)");

      assertThat(recording.stdout()).isEqualTo("on\n");
      assertThat(recording.errors()).isEmpty();
      assertThat(run(other.sandbox(), "sum(1)").errors().getFirst().value()).isEqualTo("mine");
    }
  }

  @Test
  void methodsOfTheUsersShowValues() throws Exception {
    run("print.mine <- function(x, ...) cat('shown\\n')");
    assertThat(result("structure(1, class = 'mine')")).isEqualTo("shown");
  }

  @Test
  void whatIsTooLargeIsLeftOut() throws Exception {
    run("kept <- 5");
    Recording frame = run("data.frame(matrix(round(runif(50000), 2), 1000))");
    assertThat(frame.results()).containsKey("text/plain");
    assertThat(
            error(
                    "stop(structure(class = c(strrep('x', 400), 'error', 'condition'), list(message = 'm')))")
                .name())
        .hasSize(256);

    Recording plots = run("for (i in 1:70) plot(1); invisible()");
    assertThat(plots.stderr()).contains("Plots are left out: 6 of 70");
    assertThat(result("kept")).isEqualTo("[1] 5");
  }

  @Test
  void plotIsAPicture() throws Exception {
    Recording recording = run("plot(1:10, main = 'title'); invisible(1)");

    assertThat(recording.errors()).isEmpty();
    assertThat(recording.results()).containsKey("image/png");
    assertThat(result("list.files(pattern = 'Rplots')")).isEqualTo("character(0)");
  }

  @Test
  void warningsAreOnStandardErrorAtOnce() throws Exception {
    Recording recording = run("f <- function() warning('inner'); f(); warning('outer'); log(-1)");

    assertThat(recording.stderr())
        .isEqualTo("Warning in f() : inner\nWarning: outer\nWarning in log(-1) : NaNs produced\n");
    assertThat(recording.results()).containsEntry("text/plain", "[1] NaN");
  }

  @Test
  void errorHasNameValueAndTheLinesOfItsCells() throws Exception {
    run("\nf <- function(a) {\n  stop('boom')\n}\ng <- function() f(1)");
    CodeError error = error("\n\ng()");

    assertThat(error.name()).isEqualTo("simpleError");
    assertThat(error.value()).isEqualTo("boom");
    assertThat(error.traceback())
        .matches(
            "Error in f\\(1\\) : boom\n3: stop\\(\"boom\"\\) at cell-\\d+:3\n"
                + "2: f\\(1\\) at cell-\\d+:5\n1: g\\(\\) at cell-\\d+:3");
    assertThat(error("\n1 / 'a'").traceback()).containsPattern("1: 1/\"a\" at cell-\\d+:2$");
    assertThat(
            error(
                "stop(structure(class = c('mine', 'error', 'condition'), list(message = 'own')))"))
        .extracting(CodeError::name, CodeError::value)
        .containsExactly("mine", "own");
  }

  @Test
  void nothingRunsOfWhatDoesNotParse() throws Exception {
    CodeError error = error("never <- 1\nx <- (1\n y");

    assertThat(error.name()).isEqualTo("parseError");
    assertThat(error.value()).containsPattern("^cell-\\d+:3:2: unexpected symbol");
    assertThat(result("exists('never')")).isEqualTo("[1] FALSE");
  }

  @Test
  void floodOfOutputArrivesWholeAndBeforeTheResult() throws Exception {
    Recording recording = run("for (i in 1:100000) cat('line', i, '\\n')\n1");

    assertThat(recording.stdout()).hasLineCount(100_000).endsWith("line 100000 \n");
    assertThat(recording.results()).containsEntry("text/plain", "[1] 1");
  }

  @Test
  void hugeResultsAndErrorsAreCut() throws Exception {
    assertThat(result("strrep('y', 1e7)")).hasSizeBetween(1_000, 1_000_000);
    assertThat(result("1:1e6")).hasSizeBetween(1_000, 1_000_000);
    CodeError error = error("stop(strrep('x', 5000))");
    assertThat(error.value().length()).isLessThan(20_000);
    assertThat(error.traceback().length()).isLessThan(70_000);
    assertThat(error("deep <- function(n) deep(n + 1)\ndeep(1)").traceback().length())
        .isLessThan(70_000);
  }

  @ParameterizedTest
  @ValueSource(strings = {"while (TRUE) {}", "Sys.sleep(100)"})
  void interruptEndsTheRunAndKeepsTheVariables(String source) throws Exception {
    run("beforeInterrupt <- 2");
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(
            EngineFixture.of(EngineFixture.code(Language.R, "cat('up\\n');" + source), LONG, ""),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGINT);

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("Interrupted");
    assertThat(result("beforeInterrupt")).isEqualTo("[1] 2");
  }

  @Test
  void contextsRunAtOnceAndAreRestartedApart() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording waiting =
          start(
              other.sandbox(),
              "kept <- 1; cat('up\\n'); while (!file.exists('go')) Sys.sleep(0.01)",
              LONG);
      await().until(() -> waiting.stdout().equals("up\n"));
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("3")).results())
          .containsEntry("text/plain", "3");
      EngineFixture.run(other.sandbox(), EngineFixture.bash("touch go"));
      assertThat(waiting.await().exitCode()).hasValue(0);

      assertThat(run(other.sandbox(), "kept").results()).containsEntry("text/plain", "[1] 1");
      other.sandbox().contexts().restart(new ContextId("r"));
      assertThat(run(other.sandbox(), "kept").errors()).hasSize(1);
    }
  }

  @Test
  void quitEndsTheContextAndNoOther() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      EngineFixture.run(other.sandbox(), EngineFixture.python("x = 5"));

      assertThat(run(other.sandbox(), "lost <- 1; quit(status = 7)").await().exitCode())
          .hasValue(7);
      assertThat(run(other.sandbox(), "lost").errors()).hasSize(1);
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("x")).results())
          .containsEntry("text/plain", "5");
    }
  }

  @Test
  void deadlineEndsTheContextAndTheNextRunGetsAFreshOne() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      run(other.sandbox(), "lost <- 1");
      Recording recording = start(other.sandbox(), "while (TRUE) {}", Duration.ofMillis(500));

      assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
      assertThat(run(other.sandbox(), "lost").errors()).hasSize(1);
    }
  }

  @Test
  void memoryBombIsToldAsSuch() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording recording =
          run(other.sandbox(), "all <- list(); while (TRUE) all[[length(all) + 1]] <- rnorm(1e6)");

      assertThat(recording.await().reason()).isEqualTo(Reason.OUT_OF_MEMORY);
      assertThat(run(other.sandbox(), "3").results()).containsEntry("text/plain", "[1] 3");
    }
  }

  /**
   * Whatever code does, the end of its run is told within its deadline, and a new process works.
   */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "rm(list = ls(all.names = TRUE))",
        "closeAllConnections()",
        "for (i in 3:20) try(close(getConnection(i)))",
        "sink('/dev/null'); sink('/dev/null', type = 'message')",
        "close(stdout())",
        "invokeRestart('abort')",
        "options(device = NULL, warn = 2, error = quote(quit()))",
        "print <- function(...) stop(); cat <- NULL; withVisible <- stop",
        "system('pkill -9 -x cat')",
        "tools::pskill(Sys.getpid(), 9)",
        "tools::pskill(Sys.getpid(), 19)",
        "writeBin(as.raw(rep(255, 1e5)), pipe('cat >&3', 'wb'))",
        "repeat tryCatch(Sys.sleep(1), interrupt = function(c) NULL)",
      })
  void hostileCodeBreaksItsOwnContextAtMost(String source) throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      for (String code : new String[] {source, "1 + 1"}) {
        start(other.sandbox(), code, Duration.ofSeconds(3)).await();
      }

      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("3")).results())
          .containsEntry("text/plain", "3");
      other.sandbox().contexts().restart(new ContextId("r"));
      assertThat(run(other.sandbox(), "5").results()).containsEntry("text/plain", "[1] 5");
    }
  }
}
