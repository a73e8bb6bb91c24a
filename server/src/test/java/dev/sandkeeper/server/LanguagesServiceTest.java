package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.codeRequest;
import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.engine.local.HostLanguages;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Context;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ExpectedOutput;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListContextsRequest;
import dev.sandkeeper.v1.OutputComparison;
import dev.sandkeeper.v1.Program;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.RunTasksResponse;
import dev.sandkeeper.v1.Task;
import dev.sandkeeper.v1.TestCase;
import dev.sandkeeper.v1.TestCodeRequest;
import dev.sandkeeper.v1.TestCodeResponse;
import dev.sandkeeper.v1.Verdict;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** TypeScript, Java and R through a real channel, with and without their interpreters. */
class LanguagesServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  @RegisterExtension
  static final RunningServer without =
      new RunningServer(
          Map.of(
              "SANDKEEPER_ENGINE_LOCAL_NODE", "/no/such/node",
              "SANDKEEPER_ENGINE_LOCAL_JAVA", "/no/such/java",
              "SANDKEEPER_ENGINE_LOCAL_R", "/no/such/R"));

  /**
   * A language: a cell that prints "hi" and keeps 41 by a name, one whose value is one more and how
   * that is shown, and a program that prints its first argument and its input.
   */
  enum Case {
    TYPESCRIPT(
        Language.LANGUAGE_TYPESCRIPT,
        "const kept: number = 41; console.log('hi')",
        "kept + 1",
        "42",
        "import { readFileSync } from 'fs'; const input: string = readFileSync(0, 'utf8');"
            + " console.log(process.argv[1], input)"),
    JAVA(
        Language.LANGUAGE_JAVA,
        "int kept = 41;\nSystem.out.println(\"hi\");",
        "kept + 1",
        "42",
        "public class Main { public static void main(String[] args) throws Exception {"
            + " System.out.println(args[0] + \" \" + new String(System.in.readAllBytes())); } }"),
    R(
        Language.LANGUAGE_R,
        "kept <- 41; cat('hi\\n')",
        "kept + 1",
        "[1] 42",
        "cat(commandArgs(TRUE)[1], readLines('stdin'), '\\n')");

    private final Language language;
    private final String cell;
    private final String next;
    private final String result;
    private final String program;

    Case(Language language, String cell, String next, String result, String program) {
      this.language = language;
      this.cell = cell;
      this.next = next;
      this.result = result;
      this.program = program;
    }

    private Code code(String source) {
      return Code.newBuilder().setLanguage(language).setSource(source).build();
    }
  }

  private static String sandboxWith(Case one) {
    assumeTrue(HostLanguages.has(one.name()), "an interpreter of " + one + " in /usr");
    return server.runner().create().getSandboxId();
  }

  private static <T> List<T> rest(Iterator<T> stream) {
    List<T> all = new ArrayList<>();
    stream.forEachRemaining(all::add);
    return all;
  }

  @ParameterizedTest
  @EnumSource
  void codeRunsInItsDefaultContextAndVariablesLiveOn(Case one) {
    String sandbox = sandboxWith(one);
    Caller caller = server.runner();

    List<ExecutionEvent> events = caller.execute(codeRequest(sandbox, one.language, one.cell));
    assertThat(stdout(events)).isEqualTo("hi\n");
    assertThat(finished(events).getExitCode()).isZero();
    events = caller.execute(codeRequest(sandbox, one.language, one.next));

    assertThat(events)
        .filteredOn(ExecutionEvent::hasResult)
        .singleElement()
        .satisfies(event ->
            assertThat(event.getResult().getDataMap())
                .isEqualTo(Map.of("text/plain", ByteString.copyFromUtf8(one.result))));
    assertThat(
            caller
                .contexts()
                .listContexts(ListContextsRequest.newBuilder().setSandboxId(sandbox).build())
                .getContextsList())
        .extracting(Context::getLanguage)
        .contains(one.language);
  }

  @ParameterizedTest
  @EnumSource
  void runOnceAndTasksTakeIt(Case one) {
    String sandbox = sandboxWith(one);

    List<RunTasksResponse> tasks =
        rest(
            server
                .runner()
                .executions()
                .runTasks(
                    RunTasksRequest.newBuilder()
                        .setSandboxId(sandbox)
                        .setMaxConcurrency(1)
                        .addTasks(Task.newBuilder().setTaskId("t").setCode(one.code(one.cell)))
                        .build()));
    assertThat(tasks)
        .singleElement()
        .satisfies(response ->
            assertThat(response.getResult().getStdout().getData().toStringUtf8())
                .isEqualTo("hi\n"));
    assertThat(
            server
                .runner()
                .runOnce(RunOnceRequest.newBuilder().setCode(one.code(one.cell)).build()))
        .anySatisfy(response ->
            assertThat(response.getEvent().getStdout().getData().toStringUtf8()).isEqualTo("hi\n"));
  }

  @ParameterizedTest
  @EnumSource
  void programsAreTestedWithArgumentsAndInput(Case one) {
    String sandbox = sandboxWith(one);

    List<TestCodeResponse> responses =
        rest(
            server
                .runner()
                .executions()
                .testCode(
                    TestCodeRequest.newBuilder()
                        .setSandboxId(sandbox)
                        .setMaxConcurrency(1)
                        .setProgram(Program.newBuilder().setCode(one.code(one.program)))
                        .addCases(
                            TestCase.newBuilder()
                                .setCaseId("c")
                                .addArgs("first")
                                .setStdin(ByteString.copyFromUtf8("in"))
                                .setTimeLimit(Durations.fromSeconds(30))
                                .setOutput(
                                    ExpectedOutput.newBuilder()
                                        .setStdout(ByteString.copyFromUtf8("first in"))
                                        .setComparison(OutputComparison.OUTPUT_COMPARISON_TRIMMED)))
                        .build()));

    assertThat(responses)
        .extracting(TestCodeResponse::getVerdict)
        .containsExactly(Verdict.VERDICT_ACCEPTED);
  }

  @ParameterizedTest
  @EnumSource
  void withoutItsInterpreterItIsRefusedWithTheTemplatesName(Case one) {
    String sandbox = without.runner().create().getSandboxId();

    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.INTERPRETER_MISSING,
            () -> without.runner().execute(codeRequest(sandbox, one.language, one.cell)));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("template", "base")
        .containsEntry("language", one.name());
  }
}
