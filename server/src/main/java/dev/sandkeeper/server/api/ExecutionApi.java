package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.execution.Execution;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.GetExecutionResponse;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListExecutionsResponse;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.SignalExecutionResponse;
import io.grpc.stub.StreamObserver;

/** ExecutionService. */
final class ExecutionApi extends ExecutionServiceGrpc.ExecutionServiceImplBase {
  private final Calls calls;
  private final Executions executions;

  ExecutionApi(Calls calls, Executions executions) {
    this.calls = calls;
    this.executions = executions;
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
                      request.getPageSize(), request.getPageToken(), request.getSandboxId()));
          return ListExecutionsResponse.newBuilder()
              .addAllExecutions(page.items().stream().map(ExecutionMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, request.getSandboxId()))
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
}
