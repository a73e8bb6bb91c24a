package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExpectedOutput;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.OutputComparison;
import dev.sandkeeper.v1.Program;
import dev.sandkeeper.v1.TestCase;
import dev.sandkeeper.v1.TestCodeRequest;
import dev.sandkeeper.v1.TestCodeResponse;
import dev.sandkeeper.v1.Verdict;
import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Tests of programs: a verdict on each case, and each verdict for its own reason only. */
class TestCodeServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final long MIB = 1024 * 1024;

  private final Caller caller = server.runner();
  private String sandbox = "";

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void eachWayToFailHasItsVerdict() {
    Program program =
        python(
            """
            import os, sys, time
            do = sys.stdin.readline().strip()
            if do == "raise": raise ValueError(do)
            if do == "abort": os.abort()
            if do == "sleep": time.sleep(600)
            if do == "eat": x = b"x" * (200 << 20)
            if do == "loop":
                os.fork()
                while True: pass
            print(41 if do == "wrong" else 42)
            """);

    Map<String, TestCodeResponse> results =
        results(
            test(
                program,
                4,
                Stream.of("right", "wrong", "raise", "abort", "sleep", "eat", "loop")
                    .map(what ->
                        output("42\n").toBuilder()
                            .setCaseId(what)
                            .setStdin(ByteString.copyFromUtf8(what + "\n"))
                            .setTimeLimit(
                                Durations.fromSeconds(
                                    what.equals("sleep") || what.equals("loop") ? 1 : 30))
                            .setMemoryLimitBytes(100 * MIB)
                            .build())
                    .toList()));

    assertThat(verdicts(results))
        .containsOnly(
            Map.entry("right", Verdict.VERDICT_ACCEPTED),
            Map.entry("wrong", Verdict.VERDICT_WRONG_ANSWER),
            Map.entry("raise", Verdict.VERDICT_RUNTIME_ERROR),
            Map.entry("abort", Verdict.VERDICT_RUNTIME_ERROR),
            Map.entry("sleep", Verdict.VERDICT_TIME_LIMIT),
            Map.entry("eat", Verdict.VERDICT_MEMORY_LIMIT),
            Map.entry("loop", Verdict.VERDICT_TIME_LIMIT));
    Finished right = finished(results, "right");
    assertThat(Durations.toNanos(right.getDuration())).isPositive();
    assertThat(right.getCpuMicros()).isPositive();
    assertThat(right.getPeakMemoryBytes()).isLessThan(100 * MIB);
    assertThat(finished(results, "eat").getPeakMemoryBytes()).isGreaterThan(200 * MIB);
    assertThat(finished(results, "abort").getSignal()).isEqualTo(6);
    assertThat(stderr(results, "raise")).contains("ValueError: raise");
    assertThat(Caller.stdout(caller.shell(sandbox, "pgrep -c python3; true")).strip())
        .isIn("0", "");
  }

  @Test
  void aProgramThatIsNotThereIsARuntimeError() {
    Program program =
        Program.newBuilder().setCommand(Command.newBuilder().addArgv("/no/such/program")).build();

    assertThat(test(program, 1, List.of(output(""))))
        .extracting(TestCodeResponse::getVerdict)
        .containsExactly(Verdict.VERDICT_RUNTIME_ERROR);
  }

  @Test
  void onlyATrailingLineBreakMatters() {
    assertThat(verdict("printf 42", "42\n", OutputComparison.OUTPUT_COMPARISON_EXACT))
        .isEqualTo(Verdict.VERDICT_WRONG_ANSWER);
    assertThat(verdict("printf 42", "42\n", OutputComparison.OUTPUT_COMPARISON_UNSPECIFIED))
        .isEqualTo(Verdict.VERDICT_WRONG_ANSWER);
    assertThat(verdict("printf 42", "42\n", OutputComparison.OUTPUT_COMPARISON_TRIMMED))
        .isEqualTo(Verdict.VERDICT_ACCEPTED);
    assertThat(verdict("echo 42", "42\n", OutputComparison.OUTPUT_COMPARISON_EXACT))
        .isEqualTo(Verdict.VERDICT_ACCEPTED);
    assertThat(verdict("echo 42", "42", OutputComparison.OUTPUT_COMPARISON_TRIMMED))
        .isEqualTo(Verdict.VERDICT_ACCEPTED);
  }

  @Test
  void trimmedForgivesWhiteSpaceAtEndsOnly() {
    String program = "printf 'a b \\t\\r\\n\\nc\\f\\v\\n \\n\\n'";

    assertThat(verdict(program, "a b\n\nc", OutputComparison.OUTPUT_COMPARISON_TRIMMED))
        .isEqualTo(Verdict.VERDICT_ACCEPTED);
    for (String other : List.of("ab\n\nc", "a  b\n\nc", " a b\n\nc", "a b\nc", "\na b\n\nc", "")) {
      assertThat(verdict(program, other, OutputComparison.OUTPUT_COMPARISON_TRIMMED))
          .as(other)
          .isEqualTo(Verdict.VERDICT_WRONG_ANSWER);
    }
    assertThat(verdict("printf '\\n \\n'", "", OutputComparison.OUTPUT_COMPARISON_TRIMMED))
        .isEqualTo(Verdict.VERDICT_ACCEPTED);
  }

  @Test
  void aCheckSaysByItsExitCode() {
    Map<String, TestCodeResponse> results =
        results(
            test(
                shell("echo 42"),
                2,
                List.of(
                    checked("accepts", shell("grep -qx 42")),
                    checked("rejects", shell("grep -qx 43")),
                    checked("breaks", shell("echo broken >&2; exit 3")),
                    checked("dies", shell("kill -9 $$")),
                    checked("late", shell("sleep 600")).toBuilder()
                        .setTimeLimit(Durations.fromMillis(500))
                        .build(),
                    checked(
                        "not there",
                        Program.newBuilder()
                            .setCommand(Command.newBuilder().addArgv("/no/such/program"))
                            .build()),
                    checked("code", python("import sys; sys.exit(int(input()) != 42)")))));

    assertThat(verdicts(results))
        .containsOnly(
            Map.entry("accepts", Verdict.VERDICT_ACCEPTED),
            Map.entry("rejects", Verdict.VERDICT_WRONG_ANSWER),
            Map.entry("breaks", Verdict.VERDICT_CHECK_FAILED),
            Map.entry("dies", Verdict.VERDICT_CHECK_FAILED),
            Map.entry("late", Verdict.VERDICT_CHECK_FAILED),
            Map.entry("not there", Verdict.VERDICT_CHECK_FAILED),
            Map.entry("code", Verdict.VERDICT_ACCEPTED));
    assertThat(result(results, "breaks").getCheck().getStderr().getData().toStringUtf8())
        .isEqualTo("broken\n");
  }

  @Test
  void aProgramThatFailsIsNotChecked() {
    List<TestCodeResponse> responses =
        test(shell("exit 1"), 1, List.of(checked("t", shell("touch checked"))));

    assertThat(responses)
        .extracting(TestCodeResponse::getVerdict)
        .containsExactly(Verdict.VERDICT_RUNTIME_ERROR);
    assertThat(responses.getFirst().hasCheck()).isFalse();
    assertThat(Caller.stdout(caller.shell(sandbox, "ls"))).isEmpty();
  }

  @Test
  void argumentsAndEnvironmentReachEveryKindOfProgram() {
    TestCase expected =
        output("a b günaydın\n").toBuilder()
            .addArgs("a b")
            .putEnvironment("GREETING", "günaydın")
            .build();

    for (Program program :
        List.of(
            shell("echo \"$1 $GREETING\""),
            code(Language.LANGUAGE_BASH, "echo \"$1 $GREETING\""),
            python("import os, sys; print(sys.argv[1], os.environ['GREETING'])"),
            Program.newBuilder()
                .setCommand(
                    Command.newBuilder()
                        .addArgv("bash")
                        .addArgv("-c")
                        .addArgv("echo \"$0 $GREETING\""))
                .build())) {
      assertThat(test(program, 1, List.of(expected)))
          .as("%s", program)
          .extracting(TestCodeResponse::getVerdict)
          .containsExactly(Verdict.VERDICT_ACCEPTED);
    }
  }

  @Test
  void javaScriptRunsAsAProcessOfItsOwn() {
    assumeTrue(
        Files.isExecutable(Path.of("/usr/bin/node"))
            || Files.isExecutable(Path.of("/usr/local/bin/node")),
        "Node.js in /usr");
    TestCase expected = output("a 3\n").toBuilder().addArgs("a").build();

    assertThat(
            test(
                code(
                    Language.LANGUAGE_JAVASCRIPT,
                    "globalThis.x = (globalThis.x ?? 2) + 1; console.log(process.argv.at(-1), x)"),
                1,
                List.of(expected, expected.toBuilder().setCaseId("again").build())))
        .extracting(TestCodeResponse::getVerdict)
        .containsExactly(Verdict.VERDICT_ACCEPTED, Verdict.VERDICT_ACCEPTED);
  }

  @Test
  void everyCaseIsAProcessOfItsOwn() {
    var _ = caller.python(sandbox, "x = 1");

    List<TestCodeResponse> responses =
        test(
            python("print('x' in globals()); x = 1"),
            1,
            IntStream.range(0, 3)
                .mapToObj(i -> output("False\n").toBuilder().setCaseId("t" + i).build())
                .toList());

    assertThat(responses)
        .extracting(TestCodeResponse::getVerdict)
        .containsOnly(Verdict.VERDICT_ACCEPTED);
  }

  @Test
  void aProgramThatIgnoresItsInputIsJudgedByItsOutput() {
    TestCase deaf =
        output("42\n").toBuilder()
            .setStdin(ByteString.copyFrom(new byte[10 * 1024 * 1024]))
            .build();

    assertThat(test(shell("echo 42"), 1, List.of(deaf)))
        .extracting(TestCodeResponse::getVerdict)
        .containsExactly(Verdict.VERDICT_ACCEPTED);
  }

  @Test
  void tooMuchOutputIsWrong() {
    List<TestCodeResponse> responses =
        test(
            shell("head -c 100000000 /dev/zero"),
            1,
            List.of(output(""), checked("checked", shell("true"))));

    assertThat(responses)
        .extracting(TestCodeResponse::getVerdict)
        .containsExactly(Verdict.VERDICT_WRONG_ANSWER, Verdict.VERDICT_WRONG_ANSWER);
    assertThat(responses.getFirst().getResult().getStdout().getCut()).isTrue();
  }

  @Test
  void aSandboxThatEndsInTheMiddleLosesTheRest() {
    List<TestCase> cases =
        IntStream.range(0, 6)
            .mapToObj(i ->
                output("42\n").toBuilder()
                    .setCaseId("t" + i)
                    .addArgs(i == 0 ? "0" : "600")
                    .setTimeLimit(Durations.fromSeconds(600))
                    .build())
            .toList();
    Iterator<TestCodeResponse> stream =
        caller.executions().testCode(request(shell("sleep $1; echo 42"), 2, cases));
    assertThat(stream.next().getVerdict()).isEqualTo(Verdict.VERDICT_ACCEPTED);
    await().until(() -> caller.usage(sandbox).getExecutionCount() == 3);

    var _ = caller.terminate(sandbox);

    List<TestCodeResponse> rest = new ArrayList<>();
    stream.forEachRemaining(rest::add);
    assertThat(rest)
        .hasSize(5)
        .extracting(TestCodeResponse::getVerdict)
        .containsOnly(Verdict.VERDICT_LOST);
  }

  @Test
  void whatIsWrongIsRefusedBeforeAnythingRuns() {
    Program good = shell("touch ran");
    TestCase one = output("");

    Refusal.ofField("cases", () -> test(good, 1, List.of()));
    Refusal.ofField(
        "cases",
        () ->
            test(
                good,
                1,
                IntStream.range(0, 1001)
                    .mapToObj(i -> one.toBuilder().setCaseId("t" + i).build())
                    .toList()));
    assertThat(Refusal.ofField("cases[1].case_id", () -> test(good, 1, List.of(one, one))))
        .contains("case", "cases[0]");
    Refusal.ofField("max_concurrency", () -> test(good, 0, List.of(one)));
    assertThat(Refusal.ofField("max_concurrency", () -> test(good, 65, List.of(one))))
        .contains("65", "at most 64");
    Refusal.ofField(
        "cases[0].expected",
        () -> test(good, 1, List.of(TestCase.newBuilder().setCaseId("t").build())));
    Refusal.ofField("program.run", () -> test(Program.getDefaultInstance(), 1, List.of(one)));
    Refusal.ofField("program.code", () -> test(python("a\0b"), 1, List.of(one)));
    Refusal.ofField("program.code", () -> test(python("#".repeat(131_072)), 1, List.of(one)));
    assertThat(test(python("#".repeat(131_071)), 1, List.of(one)).getFirst().getVerdict())
        .isEqualTo(Verdict.VERDICT_ACCEPTED);
    Refusal.ofField(
        "program.command.argv[0]",
        () ->
            test(
                Program.newBuilder().setCommand(Command.newBuilder().addArgv("")).build(),
                1,
                List.of(one)));
    Refusal.ofField(
        "cases[0].memory_limit_bytes",
        () -> test(good, 1, List.of(one.toBuilder().setMemoryLimitBytes(-1).build())));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.SANDBOX_NOT_FOUND,
        () ->
            caller
                .executions()
                .testCode(
                    request(good, 1, List.of(one)).toBuilder().setSandboxId("0".repeat(20)).build())
                .forEachRemaining(_ -> {}));
    assertThat(Caller.stdout(caller.shell(sandbox, "ls"))).isEmpty();
  }

  private static Program shell(String line) {
    return Program.newBuilder().setCommand(Command.newBuilder().setShell(line)).build();
  }

  private static Program python(String source) {
    return code(Language.LANGUAGE_PYTHON, source);
  }

  private static Program code(Language language, String source) {
    return Program.newBuilder()
        .setCode(Code.newBuilder().setLanguage(language).setSource(source))
        .build();
  }

  private static TestCase output(String stdout) {
    return TestCase.newBuilder()
        .setCaseId("case")
        .setOutput(ExpectedOutput.newBuilder().setStdout(ByteString.copyFromUtf8(stdout)))
        .build();
  }

  private static TestCase checked(String id, Program check) {
    return TestCase.newBuilder().setCaseId(id).setCheck(check).build();
  }

  private Verdict verdict(String line, String stdout, OutputComparison comparison) {
    TestCase.Builder one = output(stdout).toBuilder();
    one.getOutputBuilder().setComparison(comparison);
    return test(shell(line), 1, List.of(one.build())).getFirst().getVerdict();
  }

  private TestCodeRequest request(Program program, int maxConcurrency, List<TestCase> cases) {
    return TestCodeRequest.newBuilder()
        .setSandboxId(sandbox)
        .setProgram(program)
        .setMaxConcurrency(maxConcurrency)
        .addAllCases(cases)
        .build();
  }

  private List<TestCodeResponse> test(Program program, int maxConcurrency, List<TestCase> cases) {
    List<TestCodeResponse> responses = new ArrayList<>();
    caller
        .executions()
        .testCode(request(program, maxConcurrency, cases))
        .forEachRemaining(responses::add);
    return responses;
  }

  private static Map<String, TestCodeResponse> results(List<TestCodeResponse> responses) {
    return responses.stream()
        .collect(Collectors.toMap(TestCodeResponse::getCaseId, response -> response));
  }

  private static Map<String, Verdict> verdicts(Map<String, TestCodeResponse> results) {
    return results.values().stream()
        .collect(Collectors.toMap(TestCodeResponse::getCaseId, TestCodeResponse::getVerdict));
  }

  private static TestCodeResponse result(Map<String, TestCodeResponse> results, String id) {
    assertThat(results).containsKey(id);
    return results.getOrDefault(id, TestCodeResponse.getDefaultInstance());
  }

  private static Finished finished(Map<String, TestCodeResponse> results, String id) {
    return result(results, id).getResult().getFinished();
  }

  private static String stderr(Map<String, TestCodeResponse> results, String id) {
    return result(results, id).getResult().getStderr().getData().toStringUtf8();
  }
}
