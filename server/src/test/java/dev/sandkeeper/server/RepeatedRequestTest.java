package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.executionId;
import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.shellRequest;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;

import com.google.rpc.RetryInfo;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** A request that comes again starts nothing again, also when both come at the same moment. */
class RepeatedRequestTest {
  private static final int MAX_RUNNING = 4;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EXECUTION_MAX_RUNNING", Integer.toString(MAX_RUNNING)));

  private final Caller caller = server.runner();
  private final String requestId = UUID.randomUUID().toString();

  @Test
  void createdTwiceItIsTheSameSandbox() {
    Sandbox first = caller.create(request -> request.setRequestId(requestId));
    Sandbox second = caller.create(request -> request.setRequestId(requestId));

    assertThat(second.getSandboxId()).isEqualTo(first.getSandboxId());
    var _ = caller.terminate(first.getSandboxId());
    Sandbox ended = caller.create(request -> request.setRequestId(requestId));
    assertThat(ended.getSandboxId()).isEqualTo(first.getSandboxId());
    assertThat(ended.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
  }

  @Test
  void labelsInAnotherOrderAreTheSameContent() {
    Sandbox first =
        caller.create(
            request -> request.setRequestId(requestId).putMetadata("a", "1").putMetadata("b", "2"));
    Sandbox second =
        caller.create(
            request -> request.setRequestId(requestId).putMetadata("b", "2").putMetadata("a", "1"));

    assertThat(second.getSandboxId()).isEqualTo(first.getSandboxId());
  }

  @Test
  void anotherContentUnderTheSameIdIsRefused() {
    Sandbox sandbox = caller.create(request -> request.setRequestId(requestId));

    Refusal.of(
        Status.Code.ALREADY_EXISTS,
        ErrorReason.REQUEST_ID_REUSED,
        () -> caller.create(request -> request.setRequestId(requestId).putMetadata("a", "1")));

    ExecuteRequest run = run(sandbox.getSandboxId(), "echo one");
    var _ = caller.execute(run);
    Refusal.of(
        Status.Code.ALREADY_EXISTS,
        ErrorReason.REQUEST_ID_REUSED,
        () ->
            caller.execute(
                run.toBuilder()
                    .setCommand(run.getCommand().toBuilder().setShell("echo two"))
                    .build()));
  }

  @Test
  void anIdIsOneTenantsOwn() {
    Sandbox one = caller.create(request -> request.setRequestId(requestId));
    Sandbox other = server.stranger().create(request -> request.setRequestId(requestId));

    assertThat(other.getSandboxId()).isNotEqualTo(one.getSandboxId());
    assertThat(other.getTenantId()).isEqualTo(RunningServer.OTHER_TENANT);
  }

  @Test
  void executedTwiceItIsTheSameExecutionFromItsFirstEvent() {
    String sandbox = caller.create().getSandboxId();

    List<ExecutionEvent> first = caller.execute(run(sandbox, "echo x >>ran; cat ran"));
    List<ExecutionEvent> second = caller.execute(run(sandbox, "echo x >>ran; cat ran"));

    assertThat(second).isEqualTo(first);
    assertThat(stdout(caller.shell(sandbox, "cat ran"))).isEqualTo("x\n");
  }

  @RepeatedTest(5)
  void createdAtTheSameMomentThereIsOneSandbox() throws Exception {
    List<Sandbox> answers =
        atOnce(
            4,
            () ->
                caller.create(
                    request -> request.setRequestId(requestId).putMetadata("race", requestId)));

    assertThat(answers).extracting(Sandbox::getSandboxId).containsOnly(id(answers));
    assertThat(answers)
        .extracting(Sandbox::getState)
        .containsOnly(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(
            caller
                .sandboxes()
                .listSandboxes(ListSandboxesRequest.newBuilder().setPageSize(1000).build())
                .getSandboxesList())
        .filteredOn(sandbox -> requestId.equals(sandbox.getMetadataOrDefault("race", "")))
        .hasSize(1);
  }

  @RepeatedTest(10)
  void executedAtTheSameMomentThereIsOneExecution() throws Exception {
    String sandbox = caller.create().getSandboxId();

    List<List<ExecutionEvent>> answers =
        atOnce(4, () -> caller.execute(run(sandbox, "echo x >>ran; cat ran")));

    for (List<ExecutionEvent> events : answers) {
      assertThat(events).isEqualTo(answers.getFirst());
      assertThat(stdout(events)).isEqualTo("x\n");
    }
    assertThat(executions(sandbox))
        .extracting(Execution::getExecutionId)
        .containsExactly(executionId(answers.getFirst()));
  }

  @Test
  void aFullSandboxRefusesAnotherButNotTheRepetition() {
    String sandbox = caller.create().getSandboxId();
    ExecuteRequest wait = run(sandbox, "until [ -e go ]; do sleep 0.05; done");
    Iterator<ExecuteResponse> first = caller.sandboxes().execute(wait);
    String execution = first.next().getEvent().getStarted().getExecutionId();
    for (int i = 1; i < MAX_RUNNING; i++) {
      Iterator<ExecuteResponse> other =
          caller.sandboxes().execute(shellRequest(sandbox, wait.getCommand().getShell()));
      assertThat(other.next().getEvent().hasStarted()).isTrue();
    }

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorReason.TOO_MANY_REQUESTS,
            () -> caller.shell(sandbox, "touch go"));
    assertThat(refusal.detail(RetryInfo.class)).isPresent();
    Iterator<ExecuteResponse> repeated = caller.sandboxes().execute(wait);
    assertThat(repeated.next().getEvent().getStarted().getExecutionId()).isEqualTo(execution);
    assertThat(executions(sandbox)).hasSize(MAX_RUNNING);
  }

  @RepeatedTest(3)
  void atTheSameMomentNoMoreRunThanMay() throws Exception {
    String sandbox = caller.create().getSandboxId();

    List<Boolean> admitted =
        atOnce(
            3 * MAX_RUNNING,
            () -> {
              Iterator<ExecuteResponse> stream =
                  caller.sandboxes().execute(shellRequest(sandbox, "sleep 600"));
              try {
                return stream.next().getEvent().hasStarted();
              } catch (io.grpc.StatusRuntimeException e) {
                assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
                return false;
              }
            });

    assertThat(admitted).filteredOn(started -> started).hasSize(MAX_RUNNING);
    assertThat(executions(sandbox)).hasSize(MAX_RUNNING);
  }

  @RepeatedTest(5)
  void aSignalSentAtTheFirstEventIsNotLost() {
    String sandbox = caller.create().getSandboxId();
    Iterator<ExecuteResponse> stream =
        caller.sandboxes().execute(shellRequest(sandbox, "exec sleep 600"));
    String execution = stream.next().getEvent().getStarted().getExecutionId();

    var _ =
        caller
            .executions()
            .signalExecution(
                dev.sandkeeper.v1.SignalExecutionRequest.newBuilder()
                    .setExecutionId(execution)
                    .setSignal(9)
                    .build());

    assertThat(finished(Caller.events(stream)).getSignal()).isEqualTo(9);
  }

  private ExecuteRequest run(String sandboxId, String line) {
    return shellRequest(sandboxId, line).toBuilder().setRequestId(requestId).build();
  }

  private List<Execution> executions(String sandbox) {
    return caller
        .executions()
        .listExecutions(
            ListExecutionsRequest.newBuilder().setSandboxId(sandbox).setPageSize(100).build())
        .getExecutionsList();
  }

  private static String id(List<Sandbox> sandboxes) {
    return sandboxes.getFirst().getSandboxId();
  }

  /** Makes the same call that many times from one barrier. */
  private static <T> List<T> atOnce(int times, Callable<T> call) throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(times);
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<T>> futures =
          IntStream.range(0, times)
              .mapToObj(_ ->
                  executor.submit(() -> {
                    barrier.await();
                    return call.call();
                  }))
              .toList();
      List<T> answers = new ArrayList<>();
      for (Future<T> future : futures) {
        answers.add(future.get(60, TimeUnit.SECONDS));
      }
      return answers;
    }
  }
}
