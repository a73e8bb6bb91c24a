package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.execution.Execution;
import dev.sandkeeper.server.execution.ExecutionInputs;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.execution.Task;
import dev.sandkeeper.server.execution.TaskRunner;
import dev.sandkeeper.server.execution.TestCase;
import dev.sandkeeper.server.execution.TestRunner;
import dev.sandkeeper.v1.CloseInputRequest;
import dev.sandkeeper.v1.CloseInputResponse;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.GetExecutionResponse;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListExecutionsResponse;
import dev.sandkeeper.v1.ReadArtifactsRequest;
import dev.sandkeeper.v1.ReadArtifactsResponse;
import dev.sandkeeper.v1.ResizeTerminalRequest;
import dev.sandkeeper.v1.ResizeTerminalResponse;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.RunTasksResponse;
import dev.sandkeeper.v1.SendInputRequest;
import dev.sandkeeper.v1.SendInputResponse;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.SignalExecutionResponse;
import dev.sandkeeper.v1.TestCodeRequest;
import dev.sandkeeper.v1.TestCodeResponse;
import io.grpc.stub.StreamObserver;
import java.util.List;

/** ExecutionService. */
final class ExecutionApi extends ExecutionServiceGrpc.ExecutionServiceImplBase {
  private final Calls calls;
  private final Executions executions;
  private final ExecutionInputs inputs;
  private final TaskRunner taskRunner;
  private final TestRunner testRunner;
  private final OpenStreams openStreams;

  ExecutionApi(
      Calls calls,
      Executions executions,
      ExecutionInputs inputs,
      TaskRunner taskRunner,
      TestRunner testRunner,
      OpenStreams openStreams) {
    this.calls = calls;
    this.executions = executions;
    this.inputs = inputs;
    this.taskRunner = taskRunner;
    this.testRunner = testRunner;
    this.openStreams = openStreams;
  }

  @Override
  public void getExecution(
      GetExecutionRequest request, StreamObserver<GetExecutionResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            GetExecutionResponse.newBuilder()
                .setExecution(
                    ExecutionMapper.toProto(
                        executions.require(principal, new ExecutionId(request.getExecutionId()))))
                .build());
  }

  @Override
  public void listExecutions(
      ListExecutionsRequest request, StreamObserver<ListExecutionsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          Page<Execution> page =
              executions.list(
                  principal,
                  new SandboxId(request.getSandboxId()),
                  PageTokens.request(
                      request.getPageSize(),
                      request.getPageToken(),
                      "executions",
                      request.getSandboxId()));
          return ListExecutionsResponse.newBuilder()
              .addAllExecutions(page.items().stream().map(ExecutionMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "executions", request.getSandboxId()))
              .build();
        });
  }

  @Override
  public void signalExecution(
      SignalExecutionRequest request, StreamObserver<SignalExecutionResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          executions.signal(
              principal, new ExecutionId(request.getExecutionId()), request.getSignal());
          return SignalExecutionResponse.getDefaultInstance();
        });
  }

  @Override
  public void sendInput(SendInputRequest request, StreamObserver<SendInputResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            SendInputResponse.newBuilder()
                .setNextOffset(
                    inputs.send(
                        principal,
                        new ExecutionId(request.getExecutionId()),
                        request.getOffset(),
                        request.getData().toByteArray()))
                .build());
  }

  @Override
  public void closeInput(CloseInputRequest request, StreamObserver<CloseInputResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          inputs.close(principal, new ExecutionId(request.getExecutionId()));
          return CloseInputResponse.getDefaultInstance();
        });
  }

  @Override
  public void resizeTerminal(
      ResizeTerminalRequest request, StreamObserver<ResizeTerminalResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          inputs.resize(
              principal,
              new ExecutionId(request.getExecutionId()),
              request.getRows(),
              request.getColumns());
          return ResizeTerminalResponse.getDefaultInstance();
        });
  }

  @Override
  public void readArtifacts(
      ReadArtifactsRequest request, StreamObserver<ReadArtifactsResponse> observer) {
    Principal principal = calls.begin(Scope.READ);
    calls.validate(request);
    SentBytes sent = new SentBytes();
    openStreams.send(
        principal,
        observer,
        sender -> {
          int count =
              executions.readArtifacts(
                  principal,
                  new ExecutionId(request.getExecutionId()),
                  chunk ->
                      sender.send(
                          ReadArtifactsResponse.newBuilder().setData(sent.add(chunk)).build()));
          sender.send(ReadArtifactsResponse.newBuilder().setEnd(sent.endOfArchive(count)).build());
        });
  }

  @Override
  public void runTasks(RunTasksRequest request, StreamObserver<RunTasksResponse> observer) {
    Principal principal = calls.begin(Scope.RUN);
    calls.validate(request);
    List<Task> tasks = TaskMapper.fromProto(request);
    openStreams.send(
        principal,
        observer,
        sender ->
            taskRunner.run(
                principal,
                new SandboxId(request.getSandboxId()),
                tasks,
                request.getMaxConcurrency(),
                request.getStopOnFailure(),
                result -> sender.send(TaskMapper.toProto(result))));
  }

  @Override
  public void testCode(TestCodeRequest request, StreamObserver<TestCodeResponse> observer) {
    Principal principal = calls.begin(Scope.RUN);
    calls.validate(request);
    List<TestCase> cases = TestMapper.fromProto(request);
    openStreams.send(
        principal,
        observer,
        sender ->
            testRunner.test(
                principal,
                new SandboxId(request.getSandboxId()),
                cases,
                TestMapper.languages(request),
                request.getMaxConcurrency(),
                result -> sender.send(TestMapper.toProto(result))));
  }
}
