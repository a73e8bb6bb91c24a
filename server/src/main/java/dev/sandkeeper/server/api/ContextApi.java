package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.execution.Contexts;
import dev.sandkeeper.v1.Context;
import dev.sandkeeper.v1.ContextServiceGrpc;
import dev.sandkeeper.v1.CreateContextRequest;
import dev.sandkeeper.v1.CreateContextResponse;
import dev.sandkeeper.v1.DeleteContextRequest;
import dev.sandkeeper.v1.DeleteContextResponse;
import dev.sandkeeper.v1.InterruptContextRequest;
import dev.sandkeeper.v1.InterruptContextResponse;
import dev.sandkeeper.v1.ListContextsRequest;
import dev.sandkeeper.v1.ListContextsResponse;
import dev.sandkeeper.v1.RestartContextRequest;
import dev.sandkeeper.v1.RestartContextResponse;
import io.grpc.stub.StreamObserver;

/** ContextService. */
final class ContextApi extends ContextServiceGrpc.ContextServiceImplBase {
  private final Calls calls;
  private final Contexts contexts;

  ContextApi(Calls calls, Contexts contexts) {
    this.calls = calls;
    this.contexts = contexts;
  }

  @Override
  public void createContext(
      CreateContextRequest request, StreamObserver<CreateContextResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            CreateContextResponse.newBuilder()
                .setContext(
                    toProto(
                        contexts.create(
                            principal,
                            new SandboxId(request.getSandboxId()),
                            Attributions.given(request.getContextId()).map(ContextId::new),
                            ExecutionMapper.language(request.getLanguage()),
                            Attributions.given(request.getWorkingDirectory()))))
                .build());
  }

  @Override
  public void listContexts(
      ListContextsRequest request, StreamObserver<ListContextsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            ListContextsResponse.newBuilder()
                .addAllContexts(
                    contexts.list(principal, new SandboxId(request.getSandboxId())).stream()
                        .map(ContextApi::toProto)
                        .toList())
                .build());
  }

  @Override
  public void interruptContext(
      InterruptContextRequest request, StreamObserver<InterruptContextResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          contexts.interrupt(
              principal,
              new SandboxId(request.getSandboxId()),
              new ContextId(request.getContextId()));
          return InterruptContextResponse.getDefaultInstance();
        });
  }

  @Override
  public void restartContext(
      RestartContextRequest request, StreamObserver<RestartContextResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          contexts.restart(
              principal,
              new SandboxId(request.getSandboxId()),
              new ContextId(request.getContextId()));
          return RestartContextResponse.getDefaultInstance();
        });
  }

  @Override
  public void deleteContext(
      DeleteContextRequest request, StreamObserver<DeleteContextResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          contexts.delete(
              principal,
              new SandboxId(request.getSandboxId()),
              new ContextId(request.getContextId()));
          return DeleteContextResponse.getDefaultInstance();
        });
  }

  private static Context toProto(EngineContext context) {
    Context.Builder proto =
        Context.newBuilder()
            .setContextId(context.id().value())
            .setLanguage(ExecutionMapper.toProto(context.language()))
            .setWorkingDirectory(context.workingDirectory().orElse(""));
    context.createTime().map(Times::toProto).ifPresent(proto::setCreateTime);
    return proto.build();
  }
}
