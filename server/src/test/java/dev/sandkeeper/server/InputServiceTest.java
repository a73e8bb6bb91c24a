package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.shellRequest;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.sandkeeper.client.ExecutionInput;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CloseInputRequest;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ResizeTerminalRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunOnceResponse;
import dev.sandkeeper.v1.SendInputRequest;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.Terminal;
import io.grpc.Context;
import io.grpc.Status;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Programs are typed into through a real channel. */
class InputServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final int SIGINT = 2;
  private static final String ESCAPE = "\u001b";

  private Caller caller;
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    caller = server.runner();
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void inputIsReadInOrderAndOnce() {
    Iterator<ExecuteResponse> stream =
        execute(shellRequest(sandbox, "cat").toBuilder().setKeepStdinOpen(true));
    String execution = started(stream);
    assertThat(send(execution, 0, "one ")).isEqualTo(4);
    assertThat(send(execution, 0, "one ")).isEqualTo(4);
    Refusal gap =
        Refusal.of(Status.Code.OUT_OF_RANGE, ErrorReason.INPUT_GAP, () -> send(execution, 5, "x"));
    assertThat(gap.info().getMetadataMap()).containsEntry("nextOffset", "4");
    assertThat(send(execution, 4, "two")).isEqualTo(7);
    close(execution);
    List<ExecutionEvent> events = Caller.events(stream);
    assertThat(stdout(events)).isEqualTo("one two");
    assertThat(finished(events).getExitCode()).isZero();
    assertThat(audited(execution))
        .extracting(AuditEvent::getDetail)
        .contains("4 bytes at 0", "3 bytes at 4", "end");
    assertThat(audited(execution)).allMatch(event -> event.getCodeSha256().isEmpty());
  }

  @Test
  void whatCannotBeTypedIntoSaysWhy() {
    Iterator<ExecuteResponse> stream = execute(shellRequest(sandbox, "sleep 300").toBuilder());
    String execution = started(stream);

    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.INPUT_NOT_OPEN, () -> send(execution, 0, "a"));
    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.INPUT_NOT_OPEN, () -> close(execution));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.NO_TERMINAL, () -> resize(execution, 1, 1));
    signal(execution, SIGINT);
    assertThat(finished(Caller.events(stream)).getSignal()).isEqualTo(SIGINT);
    for (var call :
        List.<org.assertj.core.api.ThrowableAssert.ThrowingCallable>of(
            () -> send(execution, 0, "a"), () -> close(execution), () -> resize(execution, 1, 1))) {
      Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.EXECUTION_FINISHED, call);
    }
    signal(execution, SIGINT);
    Refusal.ofField("data", () -> send(execution, 0, ""));
    Refusal.ofField("data", () -> send(execution, 0, "x".repeat(65_537)));
    Refusal.ofField("offset", () -> send(execution, -1, "x"));
    Refusal.ofField("rows", () -> resize(execution, 0, 80));
    Refusal.ofField("columns", () -> resize(execution, 24, 65_536));
  }

  @Test
  void aProgramThatDoesNotReadIsSentABoundedAmount() {
    Iterator<ExecuteResponse> stream =
        execute(shellRequest(sandbox, "sleep 300").toBuilder().setKeepStdinOpen(true));
    String execution = started(stream);
    String data = "x".repeat(65_536);
    long[] sent = {0};
    Refusal.of(
        Status.Code.RESOURCE_EXHAUSTED,
        ErrorReason.INPUT_FULL,
        () -> {
          while (true) {
            sent[0] = send(execution, sent[0], data);
          }
        });
    assertThat(sent[0]).isLessThan(1_000_000);
    signal(execution, SIGINT);
    Caller.events(stream);
  }

  @Test
  void aRunInASandboxOfItsOwnTakesInputInATerminal() {
    Iterator<RunOnceResponse> steps =
        caller
            .sandboxes()
            .runOnce(
                RunOnceRequest.newBuilder()
                    .setCommand(
                        Command.newBuilder()
                            .setShell("stty -echo size; read -r one; read -r two; echo $one $two"))
                    .setStdin(ByteString.copyFromUtf8("a\n"))
                    .setKeepStdinOpen(true)
                    .setTerminal(Terminal.newBuilder().setRows(30).setColumns(90))
                    .build());
    String execution = steps.next().getCreated().getExecutionId();

    long next = send(execution, 0, "b\n");

    assertThat(next).isEqualTo(2);
    StringBuilder output = new StringBuilder();
    steps.forEachRemaining(
        step -> output.append(step.getEvent().getStdout().getData().toStringUtf8()));
    assertThat(output.toString()).contains("30 90\r\n").endsWith("a b\r\n");
  }

  @Test
  void anotherTenantsProgramIsNotThere() {
    String execution =
        started(execute(shellRequest(sandbox, "cat").toBuilder().setKeepStdinOpen(true)));
    Caller stranger = server.stranger();

    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.EXECUTION_NOT_FOUND,
        () -> stranger.executions().sendInput(input(execution, 0, "a")));
  }

  @ParameterizedTest
  @EnumSource(
      value = Language.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"LANGUAGE_UNSPECIFIED", "LANGUAGE_BASH", "UNRECOGNIZED"})
  void whatRunsInAContextHasNoInputAndNoTerminal(Language language) {
    ExecuteRequest.Builder request =
        ExecuteRequest.newBuilder()
            .setSandboxId(sandbox)
            .setCode(Code.newBuilder().setLanguage(language).setSource("1"));

    Refusal.ofField(
        "keep_stdin_open", () -> caller.execute(request.clone().setKeepStdinOpen(true).build()));
    Refusal.ofField(
        "terminal",
        () -> caller.execute(request.clone().setTerminal(Terminal.getDefaultInstance()).build()));
  }

  @Test
  void vimEditsAFileInTheBackground() {
    Context.CancellableContext first = Context.current().withCancellation();
    String[] execution = new String[1];
    first.run(() -> {
      Iterator<ExecuteResponse> stream =
          execute(
              shellRequest(sandbox, "vim -u NONE -i NONE poem.txt").toBuilder()
                  .setKeepStdinOpen(true)
                  .setTerminal(Terminal.newBuilder().setRows(30).setColumns(100)));
      execution[0] = started(stream);
      StringBuilder screen = new StringBuilder();
      while (screen.indexOf("poem.txt") < 0) {
        screen.append(stream.next().getEvent().getStdout().getData().toStringUtf8());
      }
    });
    // The stream that started it is gone; it is found again, and goes on.
    first.cancel(null);
    assertThat(
            caller
                .executions()
                .listExecutions(ListExecutionsRequest.newBuilder().setSandboxId(sandbox).build())
                .getExecutionsList())
        .anyMatch(found -> found.getExecutionId().equals(execution[0]) && !found.hasEndTime());
    resize(execution[0], 20, 60);
    send(execution[0], 0, "iroses are red" + ESCAPE + ":wq\r");

    List<ExecutionEvent> events = caller.attach(execution[0], 0);
    assertThat(finished(events).getExitCode()).isZero();
    assertThat(stdout(caller.shell(sandbox, "cat poem.txt"))).isEqualTo("roses are red\n");
  }

  @Test
  void aPasswordIsNeitherEchoedNorAudited() {
    Iterator<ExecuteResponse> stream =
        execute(
            shellRequest(sandbox, "read -rsp 'Password: ' word </dev/tty; echo; echo ${#word}")
                .toBuilder()
                .setKeepStdinOpen(true)
                .setTerminal(Terminal.getDefaultInstance()));
    String execution = started(stream);
    StringBuilder screen = new StringBuilder();
    while (screen.indexOf("Password: ") < 0) {
      screen.append(stream.next().getEvent().getStdout().getData().toStringUtf8());
    }
    send(execution, 0, "s3cret\n");

    assertThat(screen + stdout(Caller.events(stream))).isEqualTo("Password: \r\n6\r\n");
    assertThat(audited(execution)).noneMatch(event -> event.toString().contains("s3cret"));
  }

  @Test
  void theJavaClientStreamsInput() {
    byte[] data = new byte[1_000_000];
    try (SandkeeperClient client =
            SandkeeperClient.builder("127.0.0.1:" + server.port())
                .apiKey(caller.secret())
                .plaintext()
                .build();
        var stream = client.sandbox(sandbox).command("sha256sum").keepStdinOpen().stream()) {
      StringBuilder said = new StringBuilder();
      stream.iterator().next();
      try (ExecutionInput input = client.input(stream.executionId())) {
        input.write("begin");
        input.write(data);
        assertThat(input.offset()).isEqualTo(1_000_005);
        // Another that goes on, as after a restart of the client.
        client.input(stream.executionId(), input.offset()).write("end");
      }
      stream.await(out -> said.append(out.toStringUtf8()), err -> {});
      assertThat(said)
          .startsWith("8130d3efb5e66861f2abc44b8559945cd8eac0703d2d4d2906546d59d2adc205");
    }
  }

  private Iterator<ExecuteResponse> execute(ExecuteRequest.Builder request) {
    return caller.sandboxes().execute(request.build());
  }

  private static String started(Iterator<ExecuteResponse> stream) {
    return stream.next().getEvent().getStarted().getExecutionId();
  }

  private long send(String execution, long offset, String data) {
    return caller.executions().sendInput(input(execution, offset, data)).getNextOffset();
  }

  private static SendInputRequest input(String execution, long offset, String data) {
    return SendInputRequest.newBuilder()
        .setExecutionId(execution)
        .setOffset(offset)
        .setData(ByteString.copyFromUtf8(data))
        .build();
  }

  private void close(String execution) {
    var _ =
        caller
            .executions()
            .closeInput(CloseInputRequest.newBuilder().setExecutionId(execution).build());
  }

  private void resize(String execution, int rows, int columns) {
    var _ =
        caller
            .executions()
            .resizeTerminal(
                ResizeTerminalRequest.newBuilder()
                    .setExecutionId(execution)
                    .setRows(rows)
                    .setColumns(columns)
                    .build());
  }

  private void signal(String execution, int number) {
    var _ =
        caller
            .executions()
            .signalExecution(
                SignalExecutionRequest.newBuilder()
                    .setExecutionId(execution)
                    .setSignal(number)
                    .build());
  }

  private List<AuditEvent> audited(String execution) {
    return server
        .admin()
        .audit()
        .listAuditEvents(
            ListAuditEventsRequest.newBuilder().setSandboxId(sandbox).setPageSize(1000).build())
        .getAuditEventsList()
        .stream()
        .filter(event -> event.getExecutionId().equals(execution))
        .filter(event -> event.getOperation().equals("input"))
        .toList();
  }
}
