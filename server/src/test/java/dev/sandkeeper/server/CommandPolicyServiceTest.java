package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.CodeRule;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CommandPolicy;
import dev.sandkeeper.v1.CommandRule;
import dev.sandkeeper.v1.CreateTemplateRequest;
import dev.sandkeeper.v1.ExpectedOutput;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.Program;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.Task;
import dev.sandkeeper.v1.Template;
import dev.sandkeeper.v1.TestCase;
import dev.sandkeeper.v1.TestCodeRequest;
import io.grpc.Status;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Command policies through a real channel. */
class CommandPolicyServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final CommandPolicy OF_TEMPLATE =
      CommandPolicy.newBuilder()
          .addDeny(CommandRule.newBuilder().setProgram("curl"))
          .addDenyCode(
              CodeRule.newBuilder()
                  .setLanguage(Language.LANGUAGE_PYTHON)
                  .setRegex("import\\s+socket"))
          .build();
  private static final CommandPolicy OF_SANDBOX =
      CommandPolicy.newBuilder().addDeny(CommandRule.newBuilder().setGlob("rm -rf *")).build();

  private static Caller caller;
  private Sandbox sandbox;

  @BeforeAll
  static void createTemplate() {
    caller = server.runner();
    Template made =
        server
            .admin()
            .templates()
            .createTemplate(
                CreateTemplateRequest.newBuilder()
                    .setName("policed")
                    .setTemplate(Template.newBuilder().setCommandPolicy(OF_TEMPLATE))
                    .build())
            .getTemplate();
    assertThat(made.getCommandPolicy()).isEqualTo(OF_TEMPLATE);
  }

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create(request -> request.setTemplate("policed").setCommandPolicy(OF_SANDBOX));
  }

  @Test
  void aSandboxSaysWhatHoldsForIt() {
    Sandbox found = caller.get(sandbox.getSandboxId());
    assertThat(found.getCommandPolicy().getTemplate()).isEqualTo(OF_TEMPLATE);
    assertThat(found.getCommandPolicy().getSandbox()).isEqualTo(OF_SANDBOX);
    assertThat(caller.create().hasCommandPolicy()).isFalse();
  }

  @Test
  void whatIsDeniedIsNotRunAndIsRecorded() {
    String id = sandbox.getSandboxId();
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.COMMAND_DENIED,
        () -> caller.shell(id, "touch ran; /usr/bin/curl x"));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.COMMAND_DENIED,
        () -> caller.shell(id, "rm -rf x"));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.COMMAND_DENIED,
        () -> caller.python(id, "import socket"));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.COMMAND_DENIED,
        () -> caller.execute(Caller.codeRequest(id, Language.LANGUAGE_BASH, "echo $(curl x)")));

    assertThat(stdout(caller.shell(id, "ls"))).doesNotContain("ran");
    assertThat(audited(id))
        .extracting(AuditEvent::getDetail)
        .contains(
            "template.deny[0]: program curl",
            "sandbox.deny[0]: glob rm -rf *",
            "template.deny_code[0]: PYTHON import\\s+socket");
  }

  @Test
  void tasksAndTestsAreJudgedToo() {
    String id = sandbox.getSandboxId();
    assertThat(
            caller
                .executions()
                .runTasks(
                    RunTasksRequest.newBuilder()
                        .setSandboxId(id)
                        .setMaxConcurrency(1)
                        .addTasks(
                            Task.newBuilder()
                                .setTaskId("task")
                                .setCommand(Command.newBuilder().addArgv("curl")))
                        .build())
                .next()
                .getResult()
                .getRefusal()
                .getReason())
        .isEqualTo(ErrorReason.COMMAND_DENIED.name());
    assertThat(
            caller
                .executions()
                .testCode(
                    TestCodeRequest.newBuilder()
                        .setSandboxId(id)
                        .setMaxConcurrency(1)
                        .setProgram(
                            Program.newBuilder()
                                .setCode(
                                    Code.newBuilder()
                                        .setLanguage(Language.LANGUAGE_PYTHON)
                                        .setSource("import socket")))
                        .addCases(
                            TestCase.newBuilder()
                                .setCaseId("case")
                                .setOutput(ExpectedOutput.getDefaultInstance()))
                        .build())
                .next()
                .toString())
        .contains(ErrorReason.COMMAND_DENIED.name());
  }

  @Test
  void nothingIsCreatedForARunThatIsDenied() {
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.COMMAND_DENIED,
        () ->
            caller.runOnce(
                RunOnceRequest.newBuilder()
                    .setTemplate("policed")
                    .setCommand(Command.newBuilder().addArgv("curl"))
                    .build()));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.COMMAND_DENIED,
        () ->
            caller.runOnce(
                RunOnceRequest.newBuilder()
                    .setCommandPolicy(OF_SANDBOX)
                    .setCommand(Command.newBuilder().setShell("rm -rf x"))
                    .build()));

    assertThat(server.database().context().resultQuery("select sandbox_id from sandbox").fetch())
        .hasSize(created());
  }

  @Test
  void whatIsNoExpressionIsRefused() {
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () ->
            caller.create(request ->
                request.setCommandPolicy(
                    CommandPolicy.newBuilder().addAllow(CommandRule.newBuilder().setRegex("(")))));
  }

  /** Returns how many sandboxes were created, which each has a record of. */
  private static int created() {
    return Math.toIntExact(
        events().stream()
            .filter(event -> event.getOperation().equals("create"))
            .filter(event -> event.getOutcome().equals("ok"))
            .count());
  }

  private static List<AuditEvent> audited(String sandboxId) {
    return events().stream()
        .filter(event -> event.getSandboxId().equals(sandboxId))
        .filter(event -> event.getOutcome().equals(ErrorReason.COMMAND_DENIED.name()))
        .toList();
  }

  private static List<AuditEvent> events() {
    return server
        .admin()
        .audit()
        .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1000).build())
        .getAuditEventsList();
  }
}
