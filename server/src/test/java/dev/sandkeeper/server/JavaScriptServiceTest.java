package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.javaScriptRequest;
import static dev.sandkeeper.server.Caller.stderr;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.CodeError;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.Language;
import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** JavaScript through a real channel, with and without a Node.js. */
class JavaScriptServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  @RegisterExtension
  static final RunningServer withoutNode =
      new RunningServer(Map.of("SANDKEEPER_ENGINE_LOCAL_NODE", "/no/such/node"));

  private static List<ExecutionEvent> run(String sandbox, String source) {
    return server.runner().execute(javaScriptRequest(sandbox, source));
  }

  private static String newSandbox() {
    assumeTrue(
        Files.isExecutable(Path.of("/usr/bin/node"))
            || Files.isExecutable(Path.of("/usr/local/bin/node")),
        "Node.js in /usr");
    return server.runner().create().getSandboxId();
  }

  @Test
  void codeRunsAndItsVariablesLiveOn() {
    String sandbox = newSandbox();
    run(sandbox, "import os from 'os'\nconst kept = await Promise.resolve(41)");
    List<ExecutionEvent> events =
        run(sandbox, "console.log(typeof os.cpus); console.error('aside')\nkept + 1");

    assertThat(stdout(events)).isEqualTo("function\n");
    assertThat(stderr(events)).isEqualTo("aside\n");
    assertThat(events)
        .filteredOn(ExecutionEvent::hasResult)
        .singleElement()
        .satisfies(event ->
            assertThat(event.getResult().getDataMap())
                .isEqualTo(Map.of("text/plain", ByteString.copyFromUtf8("42"))));
    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(finished(events).getExitCode()).isZero();
    assertThat(finished(events).getCpuMicros()).isPositive();
    assertThat(
            server
                .runner()
                .executions()
                .getExecution(
                    GetExecutionRequest.newBuilder()
                        .setExecutionId(Caller.executionId(events))
                        .build())
                .getExecution()
                .getLanguage())
        .isEqualTo(Language.LANGUAGE_JAVASCRIPT);
  }

  @Test
  void errorIsAnEventAndNotAnErrorOfTheCall() {
    List<ExecutionEvent> events =
        run(newSandbox(), "function f() { throw new RangeError('too far') }\nf()");

    CodeError error =
        events.stream().filter(ExecutionEvent::hasError).findFirst().orElseThrow().getError();
    assertThat(error.getName()).isEqualTo("RangeError");
    assertThat(error.getValue()).isEqualTo("too far");
    assertThat(error.getTraceback())
        .isEqualTo("RangeError: too far\n    at f (cell-1:1)\n    at cell-1:2");
    assertThat(finished(events).getExitCode()).isEqualTo(1);
  }

  @Test
  void deadlineEndsTheContextAndTheNextRunHasANewOne() {
    String sandbox = newSandbox();
    run(sandbox, "var lost = 1");
    List<ExecutionEvent> events =
        server
            .runner()
            .execute(
                javaScriptRequest(sandbox, "while (true);").toBuilder()
                    .setDeadline(Durations.fromMillis(500))
                    .build());

    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_DEADLINE);
    assertThat(stdout(run(sandbox, "console.log(typeof lost)"))).isEqualTo("undefined\n");
  }

  @Test
  void floodOfOutputArrivesWhole() {
    List<ExecutionEvent> events =
        run(newSandbox(), "for (let i = 0; i < 300_000; i++) console.log('line of output', i)");

    assertThat(stdout(events)).hasLineCount(300_000).endsWith("line of output 299999\n");
  }

  @Test
  void folderEnvironmentAndInputAreRefusedByTheirNames() {
    String sandbox = newSandbox();

    Refusal.ofField(
        "working_directory",
        () ->
            server
                .runner()
                .execute(
                    javaScriptRequest(sandbox, "1").toBuilder()
                        .setWorkingDirectory("/tmp")
                        .build()));
    Refusal.ofField(
        "environment",
        () ->
            server
                .runner()
                .execute(
                    javaScriptRequest(sandbox, "1").toBuilder().putEnvironment("A", "b").build()));
    Refusal.ofField(
        "stdin",
        () ->
            server
                .runner()
                .execute(
                    javaScriptRequest(sandbox, "1").toBuilder()
                        .setStdin(ByteString.copyFromUtf8("input"))
                        .build()));
  }

  @Test
  void withoutNodeItIsRefusedWithTheTemplatesNameAndTheRestWorks() {
    String sandbox = withoutNode.runner().create().getSandboxId();

    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.INTERPRETER_MISSING,
            () -> withoutNode.runner().execute(javaScriptRequest(sandbox, "1")));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("template", "base")
        .containsEntry("language", "JAVASCRIPT");
    assertThat(stdout(withoutNode.runner().python(sandbox, "print(2)"))).isEqualTo("2\n");
  }
}
