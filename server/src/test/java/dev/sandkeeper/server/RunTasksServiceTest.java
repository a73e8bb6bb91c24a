package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.shellRequest;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionResult;
import dev.sandkeeper.v1.ExecutionState;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.RunTasksResponse;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.Task;
import io.grpc.Context;
import io.grpc.Status;
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

/** Lists of tasks: each has a result, whatever happens, and nothing runs on behind the stream. */
class RunTasksServiceTest {
  private static final int MAX_RUNNING = 4;
  private static final int CAPTURED_BYTES = 256 * 1024;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EXECUTION_MAX_RUNNING", Integer.toString(MAX_RUNNING)));

  private final Caller caller = server.runner();
  private String sandbox = "";

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void eachTaskHasItsResult() {
    List<Task> tasks =
        IntStream.range(0, 12)
            .mapToObj(i ->
                task("t" + i, "cat; printf err%d >&2; exit %d".formatted(i, i)).toBuilder()
                    .setStdin(ByteString.copyFromUtf8("in" + i))
                    .build())
            .toList();

    Map<String, ExecutionResult> results = results(run(MAX_RUNNING, tasks));

    assertThat(results).hasSize(12);
    for (int i = 0; i < 12; i++) {
      ExecutionResult result = required(results, "t" + i);
      assertThat(result.getStdout().getData().toStringUtf8()).isEqualTo("in" + i);
      assertThat(result.getStdout().getCut()).isFalse();
      assertThat(result.getStderr().getData().toStringUtf8()).isEqualTo("err" + i);
      assertThat(result.getFinished().getExitCode()).isEqualTo(i);
      assertThat(result.getFinished().getCpuMicros()).isPositive();
      assertThat(Caller.finished(caller.attach(result.getExecutionId(), 0)))
          .isEqualTo(result.getFinished());
    }
  }

  @Test
  void noMoreRunAtOnceThanAsked() {
    // The first three wait for each other, so that three do run at once.
    String meet =
        "touch r$$ m$$; until [ $(ls m* | wc -l) -ge 3 ]; do sleep 0.01; done; sleep 0.1;"
            + " ls r* | wc -l; rm r$$";
    List<Task> tasks = IntStream.range(0, 9).mapToObj(i -> task("t" + i, meet)).toList();

    List<RunTasksResponse> responses = run(3, tasks);

    assertThat(responses)
        .hasSize(9)
        .extracting(response ->
            Integer.parseInt(response.getResult().getStdout().getData().toStringUtf8().strip()))
        .allSatisfy(running -> assertThat(running).isBetween(1, 3))
        .contains(3);
  }

  @Test
  void oneAtATimeTheyRunInTheOrderOfTheList() {
    List<Task> tasks =
        IntStream.range(0, 6).mapToObj(i -> task("t" + i, "echo %d >>log".formatted(i))).toList();

    List<RunTasksResponse> responses = run(1, tasks);

    assertThat(responses)
        .extracting(RunTasksResponse::getTaskId)
        .containsExactly("t0", "t1", "t2", "t3", "t4", "t5");
    assertThat(Caller.stdout(caller.shell(sandbox, "cat log"))).isEqualTo("0\n1\n2\n3\n4\n5\n");
  }

  @Test
  void codeRunsInItsContextAndTellsItsError() {
    Map<String, ExecutionResult> results =
        results(
            run(
                1,
                List.of(
                    python("one", "x = 42"), python("two", "print(x)"), python("three", "1 / 0"))));

    assertThat(stdout(results, "two")).isEqualTo("42\n");
    assertThat(required(results, "three").getError().getName()).isEqualTo("ZeroDivisionError");
    assertThat(required(results, "one").hasError()).isFalse();
  }

  @Test
  void aTaskThatFailsStopsNoOther() {
    List<RunTasksResponse> responses =
        run(
            1,
            List.of(
                task("fails", "exit 1"),
                Task.newBuilder()
                    .setTaskId("not there")
                    .setCommand(Command.newBuilder().addArgv("/no/such/program"))
                    .build(),
                task("late", "sleep 600").toBuilder()
                    .setDeadline(Durations.fromMillis(100))
                    .build(),
                task("good", "true")));

    assertThat(responses)
        .extracting(response -> response.getResult().getFinished().getReason())
        .containsExactly(
            FinishReason.FINISH_REASON_COMPLETED,
            FinishReason.FINISH_REASON_NOT_STARTED,
            FinishReason.FINISH_REASON_DEADLINE,
            FinishReason.FINISH_REASON_COMPLETED);
  }

  @Test
  void aTaskThatFailsStopsTheOthersWhenAsked() {
    List<RunTasksResponse> responses =
        run(
            request(
                    1,
                    List.of(
                        task("good", "true"),
                        task("fails", "exit 1"),
                        task("never", "touch never"),
                        task("nor this", "touch never")))
                .setStopOnFailure(true)
                .build());

    assertThat(responses)
        .extracting(RunTasksResponse::getTaskId)
        .containsExactly("good", "fails", "never", "nor this");
    assertThat(responses)
        .extracting(RunTasksResponse::hasSkipped)
        .containsExactly(false, false, true, true);
    assertThat(Caller.stdout(caller.shell(sandbox, "ls"))).isEmpty();
  }

  @Test
  void aStreamThatIsCancelledEndsWhatRunsAndStartsNothingMore() throws Exception {
    List<Task> tasks =
        IntStream.range(0, 6).mapToObj(i -> task("t" + i, "sleep 600 & sleep 600")).toList();
    Context.CancellableContext context = Context.current().withCancellation();
    Iterator<RunTasksResponse> stream =
        context.call(() -> caller.executions().runTasks(request(2, tasks).build()));
    await().until(() -> executions(ExecutionState.EXECUTION_STATE_RUNNING).size() == 2);

    context.cancel(null);

    await().until(() -> executions(ExecutionState.EXECUTION_STATE_RUNNING).isEmpty());
    assertThat(stream).isNotNull();
    assertThat(executions(ExecutionState.EXECUTION_STATE_FINISHED))
        .hasSize(2)
        .allSatisfy(execution ->
            assertThat(execution.getFinished().getReason())
                .isEqualTo(FinishReason.FINISH_REASON_SIGNALED));
    assertThat(Caller.stdout(caller.shell(sandbox, "pgrep -c sleep; true")).strip()).isIn("0", "");
  }

  @Test
  void aSandboxThatEndsInTheMiddleLeavesNoTaskWithoutResult() {
    List<Task> tasks =
        Stream.concat(
                Stream.of(task("good", "true")),
                IntStream.range(1, 8).mapToObj(i -> task("t" + i, "sleep 600")))
            .toList();
    Iterator<RunTasksResponse> stream = caller.executions().runTasks(request(2, tasks).build());
    RunTasksResponse first = stream.next();
    await().until(() -> executions(ExecutionState.EXECUTION_STATE_RUNNING).size() == 2);

    var _ = caller.terminate(sandbox);

    List<RunTasksResponse> rest = rest(stream);
    assertThat(first.getResult().getFinished().getExitCode()).isZero();
    assertThat(rest)
        .extracting(RunTasksResponse::getTaskId)
        .containsExactlyInAnyOrder("t1", "t2", "t3", "t4", "t5", "t6", "t7");
    assertThat(rest)
        .filteredOn(response -> response.getResult().hasFinished())
        .hasSize(2)
        .allSatisfy(response ->
            assertThat(response.getResult().getFinished().getReason())
                .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED));
    assertThat(rest)
        .filteredOn(response -> response.getResult().hasRefusal())
        .hasSize(5)
        .allSatisfy(response ->
            assertThat(response.getResult().getRefusal().getReason())
                .isEqualTo(ErrorReason.SANDBOX_NOT_RUNNING.name()));
  }

  @Test
  void aTaskThatWritesALotIsCutAndKept() {
    ExecutionResult result =
        required(
            results(run(1, List.of(task("much", "head -c 100000000 /dev/zero; echo end >&2")))),
            "much");

    assertThat(result.getFinished().getExitCode()).isZero();
    assertThat(result.getStdout().getData().size()).isEqualTo(CAPTURED_BYTES);
    assertThat(result.getStdout().getCut()).isTrue();
    assertThat(result.getStderr().getData().toStringUtf8()).isEqualTo("end\n");
    assertThat(result.getStderr().getCut()).isFalse();
    long firstKept =
        Long.parseLong(
            Refusal.of(
                    Status.Code.OUT_OF_RANGE,
                    ErrorReason.SEQUENCE_NOT_KEPT,
                    () -> caller.attach(result.getExecutionId(), 0))
                .info()
                .getMetadataOrThrow("firstKeptSequence"));
    assertThat(Caller.finished(caller.attach(result.getExecutionId(), firstKept - 1)))
        .isEqualTo(result.getFinished());
  }

  @Test
  void aTaskThatIgnoresItsInputEndsAllTheSame() {
    Task task =
        task("deaf", "exec true").toBuilder()
            .setStdin(ByteString.copyFrom(new byte[10 * 1024 * 1024]))
            .build();

    assertThat(required(results(run(1, List.of(task))), "deaf").getFinished().getExitCode())
        .isZero();
  }

  @Test
  void whereOthersRunATaskWaitsForRoom() {
    List<Iterator<ExecuteResponse>> others = new ArrayList<>();
    for (int i = 0; i < MAX_RUNNING; i++) {
      others.add(caller.sandboxes().execute(shellRequest(sandbox, "exec sleep 600")));
    }
    List<String> ids =
        others.stream()
            .map(other -> other.next().getEvent().getStarted().getExecutionId())
            .toList();
    Iterator<RunTasksResponse> stream =
        caller.executions().runTasks(request(1, List.of(task("t", "echo done"))).build());

    var _ =
        caller
            .executions()
            .signalExecution(
                SignalExecutionRequest.newBuilder()
                    .setExecutionId(ids.getFirst())
                    .setSignal(9)
                    .build());

    assertThat(rest(stream))
        .singleElement()
        .satisfies(response ->
            assertThat(response.getResult().getStdout().getData().toStringUtf8())
                .isEqualTo("done\n"));
  }

  @Test
  void whatIsWrongIsRefusedBeforeAnythingRuns() {
    Task good = task("good", "touch ran");

    Refusal.ofField("tasks", () -> run(1, List.of()));
    Refusal.ofField(
        "tasks",
        () -> run(1, IntStream.range(0, 1001).mapToObj(i -> task("t" + i, "true")).toList()));
    assertThat(Refusal.ofField("tasks[1].task_id", () -> run(1, List.of(good, good))))
        .contains("good", "tasks[0]");
    Refusal.ofField("tasks[1].task_id", () -> run(1, List.of(good, task("", "true"))));
    Refusal.ofField("max_concurrency", () -> run(0, List.of(good)));
    Refusal.ofField("max_concurrency", () -> run(1001, List.of(good)));
    assertThat(Refusal.ofField("max_concurrency", () -> run(MAX_RUNNING + 1, List.of(good))))
        .contains("5", "at most 4");
    Refusal.ofField(
        "tasks[1].run", () -> run(1, List.of(good, Task.newBuilder().setTaskId("t").build())));
    Refusal.ofField(
        "tasks[1].stdin",
        () ->
            run(
                1,
                List.of(
                    good,
                    python("t", "1").toBuilder().setStdin(ByteString.copyFromUtf8("in")).build())));
    Refusal.ofField(
        "tasks[1].command.argv[0]",
        () ->
            run(
                1,
                List.of(
                    good,
                    Task.newBuilder()
                        .setTaskId("t")
                        .setCommand(Command.newBuilder().addArgv(""))
                        .build())));
    assertThat(Caller.stdout(caller.shell(sandbox, "ls"))).isEmpty();
  }

  @Test
  void aSandboxThatIsNotThereOrDoesNotRunIsRefusedAsAWhole() {
    RunTasksRequest request = request(1, List.of(task("t", "true"))).build();

    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.SANDBOX_NOT_FOUND,
        () -> run(request.toBuilder().setSandboxId("0".repeat(20)).build()));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.SANDBOX_NOT_FOUND,
        () -> rest(server.stranger().executions().runTasks(request)));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> rest(server.reader().executions().runTasks(request)));
    assertThat(caller.pause(sandbox).getState()).isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_PAUSED, () -> run(request));
    var _ = caller.terminate(sandbox);
    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_NOT_RUNNING, () -> run(request));
  }

  private static Task task(String id, String line) {
    return Task.newBuilder().setTaskId(id).setCommand(Command.newBuilder().setShell(line)).build();
  }

  private static Task python(String id, String source) {
    return Task.newBuilder()
        .setTaskId(id)
        .setCode(Code.newBuilder().setLanguage(Language.LANGUAGE_PYTHON).setSource(source))
        .build();
  }

  private RunTasksRequest.Builder request(int maxConcurrency, List<Task> tasks) {
    return RunTasksRequest.newBuilder()
        .setSandboxId(sandbox)
        .setMaxConcurrency(maxConcurrency)
        .addAllTasks(tasks);
  }

  private List<RunTasksResponse> run(int maxConcurrency, List<Task> tasks) {
    return run(request(maxConcurrency, tasks).build());
  }

  private List<RunTasksResponse> run(RunTasksRequest request) {
    return rest(caller.executions().runTasks(request));
  }

  private static <T> List<T> rest(Iterator<T> stream) {
    List<T> rest = new ArrayList<>();
    stream.forEachRemaining(rest::add);
    return rest;
  }

  private static Map<String, ExecutionResult> results(List<RunTasksResponse> responses) {
    return responses.stream()
        .collect(Collectors.toMap(RunTasksResponse::getTaskId, RunTasksResponse::getResult));
  }

  private static ExecutionResult required(Map<String, ExecutionResult> results, String task) {
    assertThat(results).containsKey(task);
    return results.getOrDefault(task, ExecutionResult.getDefaultInstance());
  }

  private static String stdout(Map<String, ExecutionResult> results, String task) {
    return required(results, task).getStdout().getData().toStringUtf8();
  }

  private List<Execution> executions(ExecutionState state) {
    return caller
        .executions()
        .listExecutions(
            ListExecutionsRequest.newBuilder().setSandboxId(sandbox).setPageSize(100).build())
        .getExecutionsList()
        .stream()
        .filter(execution -> execution.getState() == state)
        .toList();
  }
}
