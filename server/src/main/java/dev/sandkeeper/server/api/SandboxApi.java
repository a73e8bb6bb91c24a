package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.execution.OneOffRun;
import dev.sandkeeper.server.execution.OneOffRuns;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.port.ExposedPort;
import dev.sandkeeper.server.port.PortAddress;
import dev.sandkeeper.server.port.Ports;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.SandboxCreator;
import dev.sandkeeper.server.sandbox.SandboxState;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExposePortRequest;
import dev.sandkeeper.v1.ExposePortResponse;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.GetSandboxResponse;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.GetSandboxUsageResponse;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.ListSandboxesResponse;
import dev.sandkeeper.v1.PauseSandboxRequest;
import dev.sandkeeper.v1.PauseSandboxResponse;
import dev.sandkeeper.v1.ResumeSandboxRequest;
import dev.sandkeeper.v1.ResumeSandboxResponse;
import dev.sandkeeper.v1.RunCreated;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunOnceResponse;
import dev.sandkeeper.v1.RunSettled;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.TerminateSandboxResponse;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.Set;
import java.util.stream.Collectors;

/** SandboxService. */
final class SandboxApi extends SandboxServiceGrpc.SandboxServiceImplBase {
  private final Calls calls;
  private final SandboxCreator creator;
  private final Sandboxes sandboxes;
  private final CostRepository costs;
  private final Executions executions;
  private final OneOffRuns oneOffRuns;
  private final EventStream eventStream;
  private final Ports ports;
  private final BillingClock clock;

  SandboxApi(
      Calls calls,
      SandboxCreator creator,
      Sandboxes sandboxes,
      CostRepository costs,
      Executions executions,
      OneOffRuns oneOffRuns,
      EventStream eventStream,
      Ports ports,
      BillingClock clock) {
    this.calls = calls;
    this.creator = creator;
    this.sandboxes = sandboxes;
    this.costs = costs;
    this.executions = executions;
    this.oneOffRuns = oneOffRuns;
    this.eventStream = eventStream;
    this.ports = ports;
    this.clock = clock;
  }

  @Override
  public void createSandbox(
      CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            CreateSandboxResponse.newBuilder()
                .setSandbox(
                    SandboxMapper.toProto(
                        creator.create(principal, SandboxMapper.fromProto(request))))
                .build());
  }

  @Override
  public void getSandbox(GetSandboxRequest request, StreamObserver<GetSandboxResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            GetSandboxResponse.newBuilder()
                .setSandbox(
                    SandboxMapper.toProto(
                        sandboxes.require(principal, new SandboxId(request.getSandboxId()))))
                .build());
  }

  @Override
  public void listSandboxes(
      ListSandboxesRequest request, StreamObserver<ListSandboxesResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          Set<SandboxState> states =
              request.getStatesList().stream()
                  .map(SandboxMapper::fromProto)
                  .collect(Collectors.toSet());
          Object[] query = {request.getStatesList(), request.getConversationId()};
          Page<Sandbox> page =
              sandboxes.list(
                  principal,
                  states,
                  Attributions.given(request.getConversationId()),
                  PageTokens.request(
                      request.getPageSize(), request.getPageToken(), "sandboxes", query));
          return ListSandboxesResponse.newBuilder()
              .addAllSandboxes(page.items().stream().map(SandboxMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "sandboxes", query))
              .build();
        });
  }

  @Override
  public void pauseSandbox(
      PauseSandboxRequest request, StreamObserver<PauseSandboxResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            PauseSandboxResponse.newBuilder()
                .setSandbox(
                    SandboxMapper.toProto(
                        sandboxes.pause(principal, new SandboxId(request.getSandboxId()))))
                .build());
  }

  @Override
  public void resumeSandbox(
      ResumeSandboxRequest request, StreamObserver<ResumeSandboxResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            ResumeSandboxResponse.newBuilder()
                .setSandbox(
                    SandboxMapper.toProto(
                        sandboxes.resume(principal, new SandboxId(request.getSandboxId()))))
                .build());
  }

  @Override
  public void terminateSandbox(
      TerminateSandboxRequest request, StreamObserver<TerminateSandboxResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          Duration grace =
              Times.fromProto(request.hasGrace(), request.getGrace()).orElse(Duration.ZERO);
          return TerminateSandboxResponse.newBuilder()
              .setSandbox(
                  SandboxMapper.toProto(
                      sandboxes.terminate(principal, new SandboxId(request.getSandboxId()), grace)))
              .build();
        });
  }

  @Override
  public void getSandboxUsage(
      GetSandboxUsageRequest request, StreamObserver<GetSandboxUsageResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          Sandbox sandbox = sandboxes.require(principal, new SandboxId(request.getSandboxId()));
          return GetSandboxUsageResponse.newBuilder().setUsage(usage(sandbox)).build();
        });
  }

  private SandboxUsage usage(Sandbox sandbox) {
    return MoneyMapper.toProto(costs.usage(sandbox.sandboxId(), clock.now()).orElseThrow());
  }

  @Override
  public void exposePort(ExposePortRequest request, StreamObserver<ExposePortResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          ExposedPort exposed =
              ports.expose(
                  principal,
                  new PortAddress(new SandboxId(request.getSandboxId()), request.getPort()),
                  Times.fromProto(request.hasValidity(), request.getValidity()));
          return ExposePortResponse.newBuilder()
              .setUrl(exposed.url().orElse(""))
              .setPath(exposed.path())
              .setExpireTime(Times.toProto(exposed.expireTime()))
              .build();
        });
  }

  @Override
  public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> observer) {
    Principal principal = calls.begin(Scope.RUN);
    calls.validate(request);
    eventStream.requireRoom(principal);
    eventStream.start(
        principal,
        executions.execute(principal, ExecutionMapper.fromProto(request)),
        (ServerCallStreamObserver<ExecuteResponse>) observer,
        event -> ExecuteResponse.newBuilder().setEvent(event).build());
  }

  @Override
  public void attachExecution(
      AttachExecutionRequest request, StreamObserver<AttachExecutionResponse> observer) {
    Principal principal = calls.begin(Scope.READ);
    calls.validate(request);
    eventStream.start(
        principal,
        executions.attach(
            principal, new ExecutionId(request.getExecutionId()), request.getAfterSequence()),
        (ServerCallStreamObserver<AttachExecutionResponse>) observer,
        event -> AttachExecutionResponse.newBuilder().setEvent(event).build());
  }

  @Override
  public void runOnce(RunOnceRequest request, StreamObserver<RunOnceResponse> observer) {
    Principal principal = calls.begin(Scope.RUN);
    calls.validate(request);
    RequestKey key = RunOnceMapper.key(request);
    executions.requireRetention(
        ExecutionMapper.given(request.getJournalSizeBytes()),
        Times.fromProto(request.hasKeepDuration(), request.getKeepDuration()));
    eventStream.requireRoom(principal);
    OneOffRun run =
        oneOffRuns.start(
            principal, RunOnceMapper.sandbox(request, key), RunOnceMapper.execution(request, key));
    eventStream.start(
        principal,
        run.events(),
        (ServerCallStreamObserver<RunOnceResponse>) observer,
        RunOnceResponse.newBuilder()
            .setCreated(
                RunCreated.newBuilder()
                    .setSandbox(SandboxMapper.toProto(run.sandbox()))
                    .setExecutionId(run.executionId().value()))
            .build(),
        event -> RunOnceResponse.newBuilder().setEvent(event).build(),
        () -> settled(run.awaitEnded()));
  }

  private RunOnceResponse settled(Sandbox sandbox) {
    return RunOnceResponse.newBuilder()
        .setSettled(
            RunSettled.newBuilder()
                .setSandbox(SandboxMapper.toProto(sandbox))
                .setUsage(usage(sandbox)))
        .build();
  }
}
