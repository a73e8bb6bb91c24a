package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.executionId;
import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.pythonRequest;
import static dev.sandkeeper.server.Caller.shellRequest;
import static dev.sandkeeper.server.Caller.stderr;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ExecutionState;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.SignalExecutionRequest;
import io.grpc.Context;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Runs through a real channel: what a caller sees of a program, and what it can do to it. */
class ExecuteServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EXECUTION_HEARTBEAT_INTERVAL", "200 ms"));

  private static final int SIGTERM = 15;

  private Caller caller;
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    caller = server.runner();
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void eventsAreNumberedAndOutputHasOffsets() {
    List<ExecutionEvent> events =
        caller.shell(sandbox, "printf abc; printf de >&2; printf fgh; exit 3");

    assertThat(events.getFirst().getStarted().getPid()).isPositive();
    assertThat(events.getLast().hasFinished()).isTrue();
    long stdout = 0;
    long stderr = 0;
    for (int i = 0; i < events.size(); i++) {
      ExecutionEvent event = events.get(i);
      assertThat(event.getSequence()).isEqualTo(i + 1);
      assertThat(event.hasTime()).isTrue();
      if (event.hasStdout()) {
        assertThat(event.getStdout().getOffset()).isEqualTo(stdout);
        stdout += event.getStdout().getData().size();
      }
      if (event.hasStderr()) {
        assertThat(event.getStderr().getOffset()).isEqualTo(stderr);
        stderr += event.getStderr().getData().size();
      }
    }
    assertThat(stdout(events)).isEqualTo("abcfgh");
    assertThat(stderr(events)).isEqualTo("de");
    Finished finished = finished(events);
    assertThat(finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(finished.getExitCode()).isEqualTo(3);
    assertThat(finished.hasSignal()).isFalse();
    assertThat(Durations.toNanos(finished.getDuration())).isPositive();
    assertThat(finished.getCostNanoUsd()).isPositive();
  }

  @Test
  void binaryOutputComesAsItWasWritten() {
    List<ExecutionEvent> events =
        caller.python(
            sandbox,
            "import sys\nsys.stdout.flush()\n" + "import os\nos.write(1, bytes(range(256)) * 40)");

    ByteString bytes = ByteString.EMPTY;
    for (ExecutionEvent event : events) {
      bytes = bytes.concat(event.getStdout().getData());
    }
    assertThat(bytes.size()).isEqualTo(256 * 40);
    for (int i = 0; i < bytes.size(); i++) {
      assertThat(bytes.byteAt(i)).isEqualTo((byte) i);
    }
  }

  @Test
  void codeThatRaisesTellsTheErrorAndCompletes() {
    List<ExecutionEvent> events = caller.python(sandbox, "x = 5\n1 / 0");

    ExecutionEvent error =
        events.stream().filter(ExecutionEvent::hasError).findFirst().orElseThrow();
    assertThat(error.getError().getName()).isEqualTo("ZeroDivisionError");
    assertThat(error.getError().getValue()).isEqualTo("division by zero");
    assertThat(error.getError().getTraceback()).contains("1 / 0");
    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(finished(events).getExitCode()).isNotZero();
    assertThat(stdout(caller.python(sandbox, "print(x)"))).isEqualTo("5\n");
  }

  @Test
  void theLastExpressionIsTheResult() {
    List<ExecutionEvent> events = caller.python(sandbox, "6 * 7");

    ExecutionEvent result =
        events.stream().filter(ExecutionEvent::hasResult).findFirst().orElseThrow();
    assertThat(result.getResult().getDataMap())
        .containsEntry("text/plain", ByteString.copyFromUtf8("42"));
  }

  @Test
  void directoryEnvironmentAndInputReachTheProgram() {
    List<ExecutionEvent> events =
        caller.execute(
            ExecuteRequest.newBuilder()
                .setSandboxId(sandbox)
                .setCommand(
                    Command.newBuilder()
                        .addAllArgv(List.of("/bin/sh", "-c", "pwd; echo $GREETING; cat")))
                .setWorkingDirectory("/tmp")
                .putEnvironment("GREETING", "günaydın")
                .setStdin(ByteString.copyFromUtf8("from stdin"))
                .build());

    assertThat(stdout(events)).isEqualTo("/tmp\ngünaydın\nfrom stdin");
  }

  @Test
  void aProgramThatIsNotThereIsAFinishedEvent() {
    List<ExecutionEvent> events =
        caller.execute(
            ExecuteRequest.newBuilder()
                .setSandboxId(sandbox)
                .setCommand(Command.newBuilder().addArgv("/no/such/program"))
                .build());

    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_NOT_STARTED);
    assertThat(finished(events).hasExitCode()).isFalse();
  }

  @Test
  void inputsAreInPlaceBeforeItStarts() {
    caller.shell(sandbox, "mkdir data; echo old >data/one");
    ExecuteRequest request =
        shellRequest(sandbox, "cat data/one /tmp/deep/two; rm data/one").toBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .putInputs("data/one", ByteString.copyFromUtf8("new\n"))
            .putInputs("/tmp/deep/two", ByteString.copyFromUtf8("2\n"))
            .build();

    List<ExecutionEvent> events = caller.execute(request);

    assertThat(stdout(events)).isEqualTo("new\n2\n");
    assertThat(caller.execute(request)).isEqualTo(events);
    assertThat(stdout(caller.shell(sandbox, "ls data"))).isEmpty();
  }

  @Test
  void whatHasNotAllItsInputsIsNotStarted() {
    List<ExecutionEvent> events =
        caller.execute(
            shellRequest(sandbox, "echo started").toBuilder()
                .putInputs("fine", ByteString.copyFromUtf8("1"))
                .putInputs("../out", ByteString.copyFromUtf8("2"))
                .build());

    assertThat(events).hasSize(2);
    assertThat(events.getFirst().getError().getName()).isEqualTo("INVALID_FIELD");
    assertThat(events.getFirst().getError().getValue()).contains("../out");
    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_NOT_STARTED);
  }

  @Test
  void theDeadlineEndsTheProgram() {
    List<ExecutionEvent> events =
        caller.execute(
            shellRequest(sandbox, "sleep 600 & sleep 600").toBuilder()
                .setDeadline(Durations.fromMillis(300))
                .build());

    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_DEADLINE);
    assertThat(stdout(caller.shell(sandbox, "pgrep -c sleep; true")).strip()).isIn("0", "");
  }

  @Test
  void silenceIsFilledWithHeartbeatsThatHaveNoNumber() {
    Iterator<ExecuteResponse> stream =
        caller.sandboxes().execute(shellRequest(sandbox, "read line < <(sleep 600)"));
    assertThat(stream.next().getEvent().hasStarted()).isTrue();

    ExecutionEvent heartbeat = stream.next().getEvent();
    assertThat(heartbeat.hasHeartbeat()).isTrue();
    assertThat(heartbeat.getSequence()).isZero();
    assertThat(heartbeat.hasTime()).isTrue();
    assertThat(stream.next().getEvent().hasHeartbeat()).isTrue();
  }

  @Test
  void aSignalEndsTheProgramAndIsTold() {
    Iterator<ExecuteResponse> stream =
        caller.sandboxes().execute(shellRequest(sandbox, "exec sleep 600"));
    String execution = stream.next().getEvent().getStarted().getExecutionId();

    signal(execution, SIGTERM);

    Finished finished = finished(Caller.events(stream));
    assertThat(finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_SIGNALED);
    assertThat(finished.getSignal()).isEqualTo(SIGTERM);
    assertThat(finished.hasExitCode()).isFalse();
    signal(execution, SIGTERM); // over; does nothing
  }

  @Test
  void attachGoesOnBehindAnyEvent() {
    List<ExecutionEvent> events =
        caller.shell(sandbox, "for i in 1 2 3 4 5; do echo $i; sleep 0.05; done");
    String execution = executionId(events);

    for (int after = 0; after <= events.size(); after++) {
      assertThat(server.reader().attach(execution, after))
          .isEqualTo(events.subList(after, events.size()));
    }
  }

  @Test
  void twoReadersFollowARunningProgramAndSeeTheSame() throws Exception {
    Iterator<ExecuteResponse> stream =
        caller
            .sandboxes()
            .execute(
                shellRequest(
                    sandbox, "until [ -e go ]; do sleep 0.05; done; seq 20000; echo end >&2"));
    String execution = stream.next().getEvent().getStarted().getExecutionId();
    FutureTask<List<ExecutionEvent>> one = new FutureTask<>(() -> caller.attach(execution, 0));
    FutureTask<List<ExecutionEvent>> two =
        new FutureTask<>(() -> server.reader().attach(execution, 1));
    Thread.ofVirtual().start(one);
    Thread.ofVirtual().start(two);
    var _ = caller.shell(sandbox, "touch go");

    List<ExecutionEvent> own = Caller.events(stream);
    List<ExecutionEvent> whole = one.get(30, TimeUnit.SECONDS);
    List<ExecutionEvent> rest = two.get(30, TimeUnit.SECONDS);

    assertThat(rest).isEqualTo(own);
    assertThat(whole.subList(1, whole.size())).isEqualTo(own);
    assertThat(stdout(own)).startsWith("1\n2\n").endsWith("20000\n").hasSize(108_894);
  }

  @Test
  void aCancelledStreamLeavesTheProgramRunning() {
    Context.CancellableContext call = Context.current().withCancellation();
    String[] execution = new String[1];
    call.run(() -> {
      Iterator<ExecuteResponse> stream =
          caller
              .sandboxes()
              .execute(
                  shellRequest(
                      sandbox, "echo before; until [ -e go ]; do sleep 0.05; done; echo after"));
      execution[0] = stream.next().getEvent().getStarted().getExecutionId();
      assertThat(stream.next().getEvent().hasStdout()).isTrue();
    });

    call.cancel(null);
    var _ = caller.shell(sandbox, "touch go");
    List<ExecutionEvent> events = caller.attach(execution[0], 2);

    assertThat(events.getFirst().getSequence()).isEqualTo(3);
    assertThat(stdout(events)).isEqualTo("after\n");
    assertThat(finished(events).getExitCode()).isZero();
  }

  @Test
  void executionsAreFoundAndListedWithTheirOutcome() {
    String first = executionId(caller.python(sandbox, "1"));
    Iterator<ExecuteResponse> stream =
        caller.sandboxes().execute(shellRequest(sandbox, "sleep 600"));
    String second = stream.next().getEvent().getStarted().getExecutionId();

    Execution done = execution(first);
    Execution running = execution(second);
    List<Execution> all =
        caller
            .executions()
            .listExecutions(ListExecutionsRequest.newBuilder().setSandboxId(sandbox).build())
            .getExecutionsList();

    assertThat(done.getState()).isEqualTo(ExecutionState.EXECUTION_STATE_FINISHED);
    assertThat(done.getFinished().getExitCode()).isZero();
    assertThat(done.hasEndTime()).isTrue();
    assertThat(running.getState()).isEqualTo(ExecutionState.EXECUTION_STATE_RUNNING);
    assertThat(running.hasFinished()).isFalse();
    assertThat(all).extracting(Execution::getExecutionId).containsExactly(second, first);
  }

  @Test
  void endingTheSandboxEndsItsProgramsWithAFinishedEvent() {
    Iterator<ExecuteResponse> stream =
        caller.sandboxes().execute(shellRequest(sandbox, "sleep 600"));
    String execution = stream.next().getEvent().getStarted().getExecutionId();

    var _ = caller.terminate(sandbox);

    assertThat(finished(Caller.events(stream)).getReason())
        .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
    assertThat(execution(execution).getFinished().getReason())
        .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
  }

  @Test
  void anotherReaderThatStallsHoldsNobodyUp() {
    Iterator<AttachExecutionResponse> stalled;
    Iterator<ExecuteResponse> stream =
        caller
            .sandboxes()
            .execute(
                shellRequest(
                    sandbox, "until [ -e go ]; do sleep 0.05; done; head -c 20000000 /dev/zero"));
    String execution = stream.next().getEvent().getStarted().getExecutionId();
    stalled =
        caller
            .sandboxes()
            .attachExecution(AttachExecutionRequest.newBuilder().setExecutionId(execution).build());
    assertThat(stalled.next().getEvent().hasStarted()).isTrue();
    var _ = caller.shell(sandbox, "touch go");

    long bytes = 0;
    while (stream.hasNext()) {
      bytes += stream.next().getEvent().getStdout().getData().size();
    }

    assertThat(bytes).isEqualTo(20_000_000);
  }

  @Test
  void usageAndCostAreTold() {
    Finished finished =
        finished(caller.execute(pythonRequest(sandbox, "sum(i * i for i in range(2_000_000))")));

    assertThat(finished.getCpuMicros()).isPositive();
    assertThat(finished.getPeakMemoryBytes()).isPositive();
    await().until(() -> caller.usage(sandbox).getExecutionCount() == 1);
  }

  private Execution execution(String executionId) {
    return caller
        .executions()
        .getExecution(GetExecutionRequest.newBuilder().setExecutionId(executionId).build())
        .getExecution();
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
}
