package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.shellRequest;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunOnceResponse;
import dev.sandkeeper.v1.RunSettled;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Context;
import io.grpc.Status;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** One run in a sandbox of its own: what it tells, and that nothing is left of it. */
class RunOnceServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_ENGINE_LOCAL_NODE", "no-such-program"));

  private static final String WAIT = "until [ -e go ]; do sleep 0.05; done; ";

  private final Caller caller = server.runner();
  private final String requestId = UUID.randomUUID().toString();

  @Test
  void itTellsTheIdsThenTheEventsThenTheCost() {
    List<RunOnceResponse> steps =
        caller.runOnce(
            run("printf out; printf err >&2; pwd; exit 3")
                .setWorkingDirectory("/tmp")
                .setAttribution(Attribution.newBuilder().setUserId("ada"))
                .putMetadata("label", "value")
                .build());

    Sandbox created = steps.getFirst().getCreated().getSandbox();
    assertThat(created.getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(created.getAttribution().getUserId()).isEqualTo("ada");
    assertThat(created.getMetadataMap()).containsEntry("label", "value");
    List<ExecutionEvent> events = events(steps);
    assertThat(Caller.executionId(events))
        .isEqualTo(steps.getFirst().getCreated().getExecutionId());
    assertThat(stdout(events)).isEqualTo("out/tmp\n");
    assertThat(finished(events).getExitCode()).isEqualTo(3);
    RunSettled settled = settled(steps);
    assertThat(settled.getSandbox()).isEqualTo(caller.get(created.getSandboxId()));
    assertThat(settled.getSandbox().getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(settled.getSandbox().getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TERMINATED);
    assertThat(settled.getUsage().getExecutionCount()).isEqualTo(1);
    assertThat(settled.getUsage().getCostNanoUsd())
        .isPositive()
        .isEqualTo(
            caller.costRecords(created.getSandboxId()).stream()
                .mapToLong(CostRecord::getAmountNanoUsd)
                .sum());
  }

  @Test
  void codeSeesTheEnvironment() {
    List<RunOnceResponse> steps =
        caller.runOnce(
            RunOnceRequest.newBuilder()
                .setCode(
                    Code.newBuilder()
                        .setLanguage(Language.LANGUAGE_PYTHON)
                        .setSource("import os; print(os.environ['GREETING'])"))
                .putEnvironment("GREETING", "günaydın")
                .build());

    assertThat(stdout(events(steps))).isEqualTo("günaydın\n");
  }

  @Test
  void aProgramThatIsNotThereIsToldAndSettled() {
    List<RunOnceResponse> steps =
        caller.runOnce(
            RunOnceRequest.newBuilder()
                .setCommand(Command.newBuilder().addArgv("/no/such/program"))
                .build());

    assertThat(finished(events(steps)).getReason())
        .isEqualTo(FinishReason.FINISH_REASON_NOT_STARTED);
    assertThat(settled(steps).getSandbox().getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
  }

  @Test
  void aStreamThatIsCutLeavesTheRunToItsEndAndNoSandbox() {
    Context.CancellableContext context = Context.current().withCancellation();
    RunOnceResponse first =
        run(context, () -> caller.sandboxes().runOnce(run(WAIT + "exit 7").build()).next());
    String sandbox = first.getCreated().getSandbox().getSandboxId();
    context.cancel(null);

    var _ = caller.shell(sandbox, "touch go");

    await()
        .untilAsserted(() ->
            assertThat(caller.get(sandbox).getState())
                .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED));
    assertThat(execution(first.getCreated().getExecutionId()).getExitCode()).isEqualTo(7);
    assertThat(finished(caller.attach(first.getCreated().getExecutionId(), 0)).getExitCode())
        .isEqualTo(7);
    assertThat(caller.usage(sandbox).getCostNanoUsd()).isPositive();
  }

  @Test
  void repeatedItIsTheSameRunAlsoWhenItIsOver() {
    RunOnceRequest request = run(WAIT + "echo done").setRequestId(requestId).build();
    Iterator<RunOnceResponse> first = caller.sandboxes().runOnce(request);
    String sandbox = first.next().getCreated().getSandbox().getSandboxId();
    Iterator<RunOnceResponse> second = caller.sandboxes().runOnce(request);
    assertThat(second.next().getCreated().getSandbox().getSandboxId()).isEqualTo(sandbox);

    var _ = caller.shell(sandbox, "touch go");

    List<RunOnceResponse> steps = rest(first);
    assertThat(stdout(events(steps))).isEqualTo("done\n");
    assertThat(rest(second)).isEqualTo(steps);
    List<RunOnceResponse> later = caller.runOnce(request);
    assertThat(later.subList(1, later.size())).isEqualTo(steps);
    assertThat(later.getFirst().getCreated().getSandbox()).isEqualTo(settled(later).getSandbox());
  }

  @Test
  void repeatedAfterTheServerWasStartedAgainItIsTheSameRun() throws Exception {
    RunOnceRequest request = run("echo done").setRequestId(requestId).build();
    List<RunOnceResponse> steps = caller.runOnce(request);

    server.restart();
    List<RunOnceResponse> later = server.runner().runOnce(request);

    assertThat(later.subList(1, later.size())).isEqualTo(steps.subList(1, steps.size()));
  }

  @Test
  void goneOnWithByTheNextServerItIsEndedByARepetitionAtOnce() throws Exception {
    RunOnceRequest request = run(WAIT + "echo done").setRequestId(requestId).build();
    String sandbox =
        caller.sandboxes().runOnce(request).next().getCreated().getSandbox().getSandboxId();

    server.restart();
    Caller after = server.runner();
    Iterator<RunOnceResponse> steps = after.sandboxes().runOnce(request);
    var _ = steps.next();
    var _ = after.shell(sandbox, "touch go");

    List<RunOnceResponse> rest = rest(steps);
    assertThat(stdout(events(rest))).isEqualTo("done\n");
    assertThat(settled(rest).getSandbox().getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TERMINATED);
  }

  @Test
  void goneOnWithByTheNextServerItIsEndedWhenItIsIdle() throws Exception {
    String sandbox =
        caller
            .sandboxes()
            .runOnce(run(WAIT + "echo done").build())
            .next()
            .getCreated()
            .getSandbox()
            .getSandboxId();

    server.restart();
    Caller after = server.runner();
    var _ = after.shell(sandbox, "touch go");

    await()
        .atMost(1, TimeUnit.MINUTES)
        .untilAsserted(() ->
            assertThat(after.get(sandbox).getState())
                .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED));
    assertThat(after.get(sandbox).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_IDLE);
  }

  @RepeatedTest(5)
  void askedForAtTheSameMomentThereIsOneRun() {
    RunOnceRequest request =
        run("echo x").setRequestId(requestId).putMetadata("race", requestId).build();

    List<CompletableFuture<List<RunOnceResponse>>> answers =
        IntStream.range(0, 4)
            .mapToObj(_ -> CompletableFuture.supplyAsync(() -> caller.runOnce(request)))
            .toList();

    List<RunOnceResponse> one = answers.getFirst().join();
    for (CompletableFuture<List<RunOnceResponse>> answer : answers) {
      assertThat(events(answer.join())).isEqualTo(events(one));
      assertThat(settled(answer.join())).isEqualTo(settled(one));
    }
    assertThat(
            caller
                .sandboxes()
                .listSandboxes(ListSandboxesRequest.newBuilder().setPageSize(1000).build())
                .getSandboxesList())
        .filteredOn(sandbox -> requestId.equals(sandbox.getMetadataOrDefault("race", "")))
        .hasSize(1);
    assertThat(
            caller
                .executions()
                .listExecutions(
                    ListExecutionsRequest.newBuilder()
                        .setSandboxId(settled(one).getSandbox().getSandboxId())
                        .build())
                .getExecutionsList())
        .hasSize(1);
  }

  @Test
  void anIdThatWasUsedForSomethingElseIsRefused() {
    RunOnceRequest request = run("true").setRequestId(requestId).build();
    var _ = caller.runOnce(request);
    String other = caller.create().getSandboxId();

    reused(() -> caller.runOnce(run("false").setRequestId(requestId).build()));
    reused(() -> caller.create(create -> create.setRequestId(requestId)));
    reused(() ->
        caller.execute(shellRequest(other, "true").toBuilder().setRequestId(requestId).build()));
    Refusal.of(
        Status.Code.ALREADY_EXISTS,
        ErrorReason.REQUEST_ID_REUSED,
        () -> {
          String id = UUID.randomUUID().toString();
          var _ = caller.execute(shellRequest(other, "true").toBuilder().setRequestId(id).build());
          var _ = caller.runOnce(run("true").setRequestId(id).build());
        });
    assertThat(running()).containsExactly(other);
  }

  @Test
  void whatIsWrongIsRefusedBeforeAnythingStarts() {
    int before = all().size();

    Refusal.ofField("run", () -> caller.runOnce(RunOnceRequest.getDefaultInstance()));
    Refusal.ofField("request_id", () -> caller.runOnce(run("true").setRequestId("1").build()));
    Refusal.ofField(
        "journal_size_bytes",
        () -> caller.runOnce(run("true").setJournalSizeBytes(1L << 30).build()));
    Refusal.ofField(
        "keep_duration",
        () -> caller.runOnce(run("true").setKeepDuration(Durations.fromDays(2)).build()));
    Refusal.ofField(
        "timeout", () -> caller.runOnce(run("true").setTimeout(Durations.fromMillis(1)).build()));
    Refusal.ofField(
        "deadline", () -> caller.runOnce(run("true").setDeadline(Durations.ZERO).build()));
    Refusal.ofField(
        "resources.memory_mib",
        () -> {
          RunOnceRequest.Builder request = run("true");
          request.getResourcesBuilder().setMemoryMib(1);
          var _ = caller.runOnce(request.build());
        });
    Refusal.ofField(
        "working_directory",
        () ->
            caller.runOnce(
                RunOnceRequest.newBuilder()
                    .setCode(Code.newBuilder().setLanguage(Language.LANGUAGE_PYTHON).setSource("1"))
                    .setWorkingDirectory("/tmp")
                    .build()));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TEMPLATE_NOT_FOUND,
        () -> caller.runOnce(run("true").setTemplate("nothing").build()));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> server.reader().runOnce(run("true").build()));
    assertThat(all()).hasSize(before);
  }

  @Test
  void aRunThatCannotStartLeavesNoSandbox() {
    RunOnceRequest request =
        RunOnceRequest.newBuilder()
            .setRequestId(requestId)
            .setCode(Code.newBuilder().setLanguage(Language.LANGUAGE_JAVASCRIPT).setSource("1"))
            .build();

    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.INTERPRETER_MISSING,
        () -> caller.runOnce(request));

    assertThat(running()).isEmpty();
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.SANDBOX_NOT_RUNNING,
        () -> caller.runOnce(request));
  }

  @Test
  void theTimeoutEndsItAndIsTold() {
    List<RunOnceResponse> steps =
        caller.runOnce(run("sleep 600").setTimeout(Durations.fromSeconds(2)).build());

    assertThat(finished(events(steps)).getReason())
        .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
    assertThat(settled(steps).getSandbox().getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TIMEOUT);
  }

  @Test
  void theDeadlineEndsIt() {
    List<RunOnceResponse> steps =
        caller.runOnce(run("sleep 600").setDeadline(Durations.fromMillis(200)).build());

    assertThat(finished(events(steps)).getReason()).isEqualTo(FinishReason.FINISH_REASON_DEADLINE);
    assertThat(settled(steps).getSandbox().getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TERMINATED);
  }

  @Test
  void endedByTheCallerItIsSettled() {
    Iterator<RunOnceResponse> stream = caller.sandboxes().runOnce(run("sleep 600").build());
    String sandbox = stream.next().getCreated().getSandbox().getSandboxId();

    Sandbox ended = caller.terminate(sandbox);

    List<RunOnceResponse> steps = rest(stream);
    assertThat(finished(events(steps)).getReason())
        .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
    assertThat(settled(steps).getSandbox()).isEqualTo(ended);
  }

  private static RunOnceRequest.Builder run(String line) {
    return RunOnceRequest.newBuilder().setCommand(Command.newBuilder().setShell(line));
  }

  private static <T> T run(Context context, java.util.concurrent.Callable<T> call) {
    try {
      return context.call(call);
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static void reused(org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    Refusal.of(Status.Code.ALREADY_EXISTS, ErrorReason.REQUEST_ID_REUSED, call);
  }

  private static List<RunOnceResponse> rest(Iterator<RunOnceResponse> stream) {
    List<RunOnceResponse> steps = new java.util.ArrayList<>();
    stream.forEachRemaining(steps::add);
    steps.removeIf(step -> step.getEvent().hasHeartbeat());
    return steps;
  }

  private static List<ExecutionEvent> events(List<RunOnceResponse> steps) {
    return steps.stream().filter(RunOnceResponse::hasEvent).map(RunOnceResponse::getEvent).toList();
  }

  private static RunSettled settled(List<RunOnceResponse> steps) {
    assertThat(steps.getLast().hasSettled()).isTrue();
    return steps.getLast().getSettled();
  }

  private Finished execution(String executionId) {
    return caller
        .executions()
        .getExecution(GetExecutionRequest.newBuilder().setExecutionId(executionId).build())
        .getExecution()
        .getFinished();
  }

  private List<Sandbox> all() {
    return caller
        .sandboxes()
        .listSandboxes(ListSandboxesRequest.newBuilder().setPageSize(1000).build())
        .getSandboxesList();
  }

  private List<String> running() {
    return all().stream()
        .filter(sandbox -> sandbox.getState() == SandboxState.SANDBOX_STATE_RUNNING)
        .map(Sandbox::getSandboxId)
        .toList();
  }
}
