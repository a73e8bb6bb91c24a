package dev.sandkeeper.server;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ApiKey;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.CheckInvariantsRequest;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.CreateApiKeyResponse;
import dev.sandkeeper.v1.CreateTenantRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.ExpectedOutput;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.ListApiKeysRequest;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.OptionsProto;
import dev.sandkeeper.v1.Program;
import dev.sandkeeper.v1.RevokeApiKeyRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.Scope;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.Task;
import dev.sandkeeper.v1.TestCase;
import dev.sandkeeper.v1.TestCodeRequest;
import io.grpc.CallOptions;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.reflection.v1.ServiceResponse;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Who may do what: without a key nothing, with one what its tenant, scopes and agent allow. */
class AccessServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  /** How each call that starts compute is refused once a limit has nothing left. */
  private static final Map<String, BiConsumer<Caller, String>> WITHOUT_BUDGET =
      Map.of(
          "CreateSandbox",
          (caller, _) -> refusedByLimit(caller::create),
          "ResumeSandbox",
          (caller, sandbox) -> {
            caller.pause(sandbox); // which what was held for running pays for
            refusedByLimit(() -> caller.resume(sandbox));
          },
          "Execute",
          (caller, sandbox) -> {
            // It runs on the sandbox's paid time: not when that is over, nor when it is for a
            // pause.
            payNoMore(sandbox);
            Refusal.of(
                Status.Code.FAILED_PRECONDITION,
                ErrorReason.SANDBOX_NOT_RUNNING,
                () -> caller.shell(sandbox, "true"));
            refusedByPause(caller, sandbox, () -> caller.shell(sandbox, "true"));
          },
          "RunTasks",
          (caller, sandbox) -> {
            RunTasksRequest request =
                RunTasksRequest.newBuilder()
                    .setSandboxId(sandbox)
                    .setMaxConcurrency(1)
                    .addTasks(
                        Task.newBuilder()
                            .setTaskId("task")
                            .setCommand(Command.newBuilder().setShell("true")))
                    .build();
            payNoMore(sandbox);
            assertThat(caller.executions().runTasks(request).next().getResult().getRefusal())
                .extracting(dev.sandkeeper.v1.Refusal::getReason)
                .isEqualTo(ErrorReason.SANDBOX_NOT_RUNNING.name());
            refusedByPause(
                caller,
                sandbox,
                () -> caller.executions().runTasks(request).forEachRemaining(_ -> {}));
          },
          "TestCode",
          (caller, sandbox) -> {
            TestCodeRequest request =
                TestCodeRequest.newBuilder()
                    .setSandboxId(sandbox)
                    .setProgram(
                        Program.newBuilder().setCommand(Command.newBuilder().setShell("true")))
                    .setMaxConcurrency(1)
                    .addCases(
                        TestCase.newBuilder()
                            .setCaseId("case")
                            .setOutput(ExpectedOutput.getDefaultInstance()))
                    .build();
            payNoMore(sandbox);
            assertThat(caller.executions().testCode(request).next().getResult().getRefusal())
                .extracting(dev.sandkeeper.v1.Refusal::getReason)
                .isEqualTo(ErrorReason.SANDBOX_NOT_RUNNING.name());
            refusedByPause(
                caller,
                sandbox,
                () -> caller.executions().testCode(request).forEachRemaining(_ -> {}));
          },
          "RunOnce",
          (caller, _) -> {
            String requestId = UUID.randomUUID().toString();
            RunOnceRequest run =
                RunOnceRequest.newBuilder()
                    .setRequestId(requestId)
                    .setCommand(Command.newBuilder().setShell("true"))
                    .build();
            refusedByLimit(() -> caller.runOnce(run));
            assertThat(
                    server
                        .database()
                        .ownerContext()
                        .fetchCount(
                            DSL.table("execution"),
                            DSL.condition("request_id = ?::uuid", requestId)))
                .isZero();
          });

  private static void refusedByLimit(ThrowingCallable call) {
    Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, call);
  }

  private static void payNoMore(String sandbox) {
    var _ =
        server
            .database()
            .ownerContext()
            .execute("update sandbox set paid_until = start_time where sandbox_id = ?", sandbox);
  }

  private static void refusedByPause(Caller caller, String sandbox, ThrowingCallable call) {
    caller.pause(sandbox);
    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_PAUSED, call);
  }

  static Stream<Named<MethodDescriptor>> everyRpc() {
    return Contract.methods().stream().map(method -> Named.of(method.getFullName(), method));
  }

  static Stream<Named<MethodDescriptor>> rpcsThatStartCompute() {
    return everyRpc()
        .filter(
            method -> method.getPayload().getOptions().getExtension(OptionsProto.startsCompute));
  }

  @ParameterizedTest
  @MethodSource("everyRpc")
  void withoutAKeyNoRpcAnswers(MethodDescriptor method) {
    Refusal.of(
        Status.Code.UNAUTHENTICATED,
        ErrorReason.INVALID_CREDENTIALS,
        () -> call(server.anonymous(), method));
    Refusal.of(
        Status.Code.UNAUTHENTICATED,
        ErrorReason.INVALID_CREDENTIALS,
        () -> call(server.caller("sk_" + "0".repeat(40)), method));
  }

  /** With the scope that its comment names a call is let in; with the next lower one it is not. */
  @ParameterizedTest
  @MethodSource("everyRpc")
  void everyRpcNeedsTheScopeThatItStates(MethodDescriptor method) {
    Scope scope = Contract.scope(method).orElseThrow(() -> new AssertionError("no scope stated"));
    Caller enough =
        switch (scope) {
          case SCOPE_READ -> server.reader();
          case SCOPE_RUN -> server.runner();
          default -> server.admin();
        };
    Optional<StatusRuntimeException> failure =
        Optional.ofNullable(
            catchThrowableOfType(StatusRuntimeException.class, () -> call(enough, method)));
    assertThat(failure.map(thrown -> thrown.getStatus().getCode()))
        .isNotIn(
            Optional.of(Status.Code.UNAUTHENTICATED), Optional.of(Status.Code.PERMISSION_DENIED));
    List<Caller> lower =
        switch (scope) {
          case SCOPE_READ -> List.of();
          case SCOPE_RUN -> List.of(server.reader());
          default -> List.of(server.reader(), server.runner(), server.agent());
        };
    for (Caller caller : lower) {
      Refusal.of(
          Status.Code.PERMISSION_DENIED, ErrorReason.SCOPE_MISSING, () -> call(caller, method));
    }
  }

  @ParameterizedTest
  @MethodSource("everyRpc")
  void aRevokedKeyOpensNoRpc(MethodDescriptor method) {
    Refusal.of(
        Status.Code.UNAUTHENTICATED,
        ErrorReason.INVALID_CREDENTIALS,
        () -> call(revoked(), method));
  }

  private static Caller revoked() {
    CreateApiKeyResponse made =
        server
            .admin()
            .admin()
            .createApiKey(CreateApiKeyRequest.newBuilder().addScopes(Scope.SCOPE_ADMIN).build());
    var _ =
        server
            .admin()
            .admin()
            .revokeApiKey(
                RevokeApiKeyRequest.newBuilder().setKeyId(made.getApiKey().getKeyId()).build());
    return server.caller(made.getSecret());
  }

  @Test
  void theContractIsWalkedWhole() throws Exception {
    assertThat(services())
        .containsExactlyInAnyOrderElementsOf(
            Stream.concat(
                    Contract.FILES.stream()
                        .flatMap(file -> file.getServices().stream())
                        .map(service -> service.getFullName()),
                    Stream.of("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"))
                .toList());
    assertThat(rpcsThatStartCompute().map(method -> method.getPayload().getName()))
        .containsExactlyInAnyOrderElementsOf(WITHOUT_BUDGET.keySet());
  }

  /** What starts compute must be known here: a new one has to say how it is refused. */
  @ParameterizedTest
  @MethodSource("rpcsThatStartCompute")
  void whatStartsComputeIsRefusedWithoutBudget(MethodDescriptor method) throws Exception {
    Caller caller = server.runner();
    String sandbox = caller.create().getSandboxId();
    String limit =
        server
            .admin()
            .quotas()
            .setLimit(
                SetLimitRequest.newBuilder()
                    .setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME)
                    .setAmountNanoUsd(0)
                    .build())
            .getLimit()
            .getLimitId();
    try {
      assertThat(WITHOUT_BUDGET).containsKey(method.getName());
      requireNonNull(WITHOUT_BUDGET.get(method.getName())).accept(caller, sandbox);
    } finally {
      var _ =
          server
              .admin()
              .quotas()
              .deleteLimit(DeleteLimitRequest.newBuilder().setLimitId(limit).build());
    }
  }

  @Test
  void healthAndReflectionAnswerAnybody() throws Exception {
    assertThat(
            HealthGrpc.newBlockingStub(server.anonymous().channel())
                .check(HealthCheckRequest.getDefaultInstance())
                .getStatus())
        .isEqualTo(ServingStatus.SERVING);
    assertThat(services()).contains("sandkeeper.v1.SandboxService");
  }

  @Test
  void aKeyDoesWhatItsScopesAllow() {
    Caller reader = server.reader();
    Caller runner = server.runner();
    String sandbox = runner.create().getSandboxId();

    assertThat(reader.get(sandbox).getSandboxId()).isEqualTo(sandbox);
    Refusal.of(Status.Code.PERMISSION_DENIED, ErrorReason.SCOPE_MISSING, () -> reader.create());
    Refusal.of(
        Status.Code.PERMISSION_DENIED, ErrorReason.SCOPE_MISSING, () -> reader.terminate(sandbox));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> reader.shell(sandbox, "true"));
    for (Caller caller : List.of(reader, runner)) {
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () ->
              caller
                  .quotas()
                  .setLimit(
                      SetLimitRequest.newBuilder()
                          .setPeriod(LimitPeriod.LIMIT_PERIOD_DAY)
                          .build()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () ->
              caller
                  .admin()
                  .createTenant(CreateTenantRequest.newBuilder().setTenantId("x").build()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () -> caller.audit().listAuditEvents(ListAuditEventsRequest.getDefaultInstance()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () -> caller.admin().checkInvariants(CheckInvariantsRequest.getDefaultInstance()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () ->
              caller
                  .quotas()
                  .getQuota(
                      GetQuotaRequest.newBuilder()
                          .setTenantId(RunningServer.OTHER_TENANT)
                          .build()));
    }
  }

  @Test
  void anExpiredKeyOpensNothing() {
    Instant soon = Instant.now().plusMillis(1500);
    Caller caller =
        server.newCaller(key ->
            key.addScopes(Scope.SCOPE_READ)
                .setExpireTime(Timestamps.fromMillis(soon.toEpochMilli())));
    assertThat(list(caller)).isNotNull();

    await()
        .untilAsserted(() ->
            Refusal.of(
                Status.Code.UNAUTHENTICATED, ErrorReason.INVALID_CREDENTIALS, () -> list(caller)));

    Refusal.ofField(
        "expire_time",
        () ->
            server.newCaller(
                key -> key.addScopes(Scope.SCOPE_READ).setExpireTime(Timestamps.fromSeconds(1))));
  }

  @Test
  void aRevokedKeyOpensNothing() {
    CreateApiKeyResponse made =
        server
            .admin()
            .admin()
            .createApiKey(
                CreateApiKeyRequest.newBuilder()
                    .setName("short-lived")
                    .addScopes(Scope.SCOPE_READ)
                    .build());
    Caller caller = server.caller(made.getSecret());
    assertThat(list(caller)).isNotNull();

    RevokeApiKeyRequest revoke =
        RevokeApiKeyRequest.newBuilder().setKeyId(made.getApiKey().getKeyId()).build();
    ApiKey revoked = server.admin().admin().revokeApiKey(revoke).getApiKey();

    Refusal.of(Status.Code.UNAUTHENTICATED, ErrorReason.INVALID_CREDENTIALS, () -> list(caller));
    assertThat(revoked.hasRevokeTime()).isTrue();
    assertThat(server.admin().admin().revokeApiKey(revoke).getApiKey()).isEqualTo(revoked);
    assertThat(
            server
                .admin()
                .admin()
                .listApiKeys(ListApiKeysRequest.getDefaultInstance())
                .getApiKeysList())
        .contains(revoked);
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.API_KEY_NOT_FOUND,
        () ->
            server
                .admin()
                .admin()
                .revokeApiKey(RevokeApiKeyRequest.newBuilder().setKeyId("nothing").build()));
  }

  @Test
  void anotherTenantFindsNothing() {
    Caller caller = server.runner();
    Caller stranger = server.stranger();
    String sandbox = caller.create().getSandboxId();
    String execution = Caller.executionId(caller.shell(sandbox, "true"));

    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> stranger.get(sandbox));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> stranger.usage(sandbox));
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> stranger.terminate(sandbox));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.SANDBOX_NOT_FOUND,
        () -> stranger.shell(sandbox, "true"));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.EXECUTION_NOT_FOUND,
        () -> stranger.attach(execution, 0));
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.EXECUTION_NOT_FOUND, () -> signal(stranger, execution));
    assertThat(list(stranger)).isEmpty();
    assertThat(stranger.costRecords(sandbox)).isEmpty();
    assertThat(caller.get(sandbox).getState())
        .isEqualTo(dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_RUNNING);
  }

  @Test
  void anAgentReachesItsOwnOnly() {
    Caller agent = server.agent();
    String others =
        server
            .runner()
            .create(
                request -> request.setAttribution(Attribution.newBuilder().setAgentId("agent-2")))
            .getSandboxId();
    String nobodys = server.runner().create().getSandboxId();
    String itsOwn =
        server
            .runner()
            .create(request ->
                request.setAttribution(Attribution.newBuilder().setAgentId(RunningServer.AGENT)))
            .getSandboxId();
    Sandbox made = agent.create();
    String execution = Caller.executionId(server.runner().shell(others, "true"));

    assertThat(made.getAttribution().getAgentId()).isEqualTo(RunningServer.AGENT);
    assertThat(list(agent)).containsExactlyInAnyOrder(made.getSandboxId(), itsOwn);
    assertThat(agent.get(itsOwn).getSandboxId()).isEqualTo(itsOwn);
    assertThat(Caller.finished(agent.shell(itsOwn, "true")).getExitCode()).isZero();
    for (String sandbox : List.of(others, nobodys)) {
      Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> agent.get(sandbox));
      Refusal.of(
          Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> agent.shell(sandbox, "true"));
      Refusal.of(
          Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> agent.terminate(sandbox));
    }
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.EXECUTION_NOT_FOUND, () -> agent.attach(execution, 0));
    Refusal.ofField(
        "attribution.agent_id",
        () ->
            agent.create(
                request -> request.setAttribution(Attribution.newBuilder().setAgentId("agent-2"))));
    for (String sandbox : List.of(others, itsOwn)) {
      var _ = server.runner().terminate(sandbox);
    }
    assertThat(agent.costRecords(itsOwn)).isNotEmpty();
    assertThat(agent.costRecords(others)).isEmpty();
    assertThat(server.runner().costRecords(others)).isNotEmpty();
  }

  @Test
  void aKeyBoundToAnAgentAttachesToNoOtherAgentsRepeatedRequest() {
    String requestId = UUID.randomUUID().toString();
    Sandbox others =
        server
            .runner()
            .create(request ->
                request
                    .setRequestId(requestId)
                    .setAttribution(Attribution.newBuilder().setAgentId("agent-2")));

    Refusal refusal = Refusal.of(() -> server.agent().create(r -> r.setRequestId(requestId)));

    assertThat(refusal.status().toString()).doesNotContain(others.getSandboxId());
  }

  private static List<String> list(Caller caller) {
    return caller
        .sandboxes()
        .listSandboxes(
            ListSandboxesRequest.newBuilder()
                .addStates(dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_RUNNING)
                .build())
        .getSandboxesList()
        .stream()
        .map(Sandbox::getSandboxId)
        .toList();
  }

  private static void signal(Caller caller, String execution) {
    var _ =
        caller
            .executions()
            .signalExecution(
                SignalExecutionRequest.newBuilder().setExecutionId(execution).setSignal(9).build());
  }

  private static List<String> services() throws Exception {
    CompletableFuture<ServerReflectionResponse> answer = new CompletableFuture<>();
    StreamObserver<ServerReflectionRequest> requests =
        ServerReflectionGrpc.newStub(server.anonymous().channel())
            .serverReflectionInfo(
                new StreamObserver<>() {
                  @Override
                  public void onNext(ServerReflectionResponse response) {
                    answer.complete(response);
                  }

                  @Override
                  public void onError(Throwable cause) {
                    answer.completeExceptionally(cause);
                  }

                  @Override
                  public void onCompleted() {}
                });
    requests.onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
    requests.onCompleted();
    return answer.get(30, TimeUnit.SECONDS).getListServicesResponse().getServiceList().stream()
        .map(ServiceResponse::getName)
        .toList();
  }

  /** Calls any rpc with an empty request. */
  private static void call(Caller caller, MethodDescriptor method) {
    var descriptor =
        io.grpc.MethodDescriptor.<DynamicMessage, DynamicMessage>newBuilder()
            .setType(
                method.isClientStreaming()
                    ? io.grpc.MethodDescriptor.MethodType.CLIENT_STREAMING
                    : method.isServerStreaming()
                        ? io.grpc.MethodDescriptor.MethodType.SERVER_STREAMING
                        : io.grpc.MethodDescriptor.MethodType.UNARY)
            .setFullMethodName(
                io.grpc.MethodDescriptor.generateFullMethodName(
                    method.getService().getFullName(), method.getName()))
            .setRequestMarshaller(
                ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(method.getInputType())))
            .setResponseMarshaller(
                ProtoUtils.marshaller(DynamicMessage.getDefaultInstance(method.getOutputType())))
            .build();
    DynamicMessage request = DynamicMessage.getDefaultInstance(method.getInputType());
    if (method.isClientStreaming()) {
      CompletableFuture<DynamicMessage> answer = new CompletableFuture<>();
      StreamObserver<DynamicMessage> requests =
          ClientCalls.asyncClientStreamingCall(
              caller.channel().newCall(descriptor, CallOptions.DEFAULT),
              new StreamObserver<>() {
                @Override
                public void onNext(DynamicMessage response) {
                  answer.complete(response);
                }

                @Override
                public void onError(Throwable cause) {
                  answer.completeExceptionally(cause);
                }

                @Override
                public void onCompleted() {}
              });
      requests.onNext(request);
      requests.onCompleted();
      try {
        var _ = answer.join();
      } catch (java.util.concurrent.CompletionException e) {
        throw e.getCause() instanceof RuntimeException cause ? cause : e;
      }
      return;
    }
    ClientCalls.blockingServerStreamingCall(
            caller.channel(), descriptor, CallOptions.DEFAULT, request)
        .forEachRemaining(_ -> {});
  }
}
