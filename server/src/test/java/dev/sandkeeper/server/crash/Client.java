package dev.sandkeeper.server.crash;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.v1.AdminServiceGrpc;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.PauseSandboxRequest;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.ResumeSandboxRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.TimeUnit;

/** The stubs of one server with the key of its first administrator, and the commonest calls. */
final class Client implements AutoCloseable {
  private static final long CALL_SECONDS = 60;

  private final int port;
  private final ManagedChannel channel;
  private final Metadata key = new Metadata();

  Client(int port, String secret) {
    this.port = port;
    channel = NettyChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().build();
    key.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + secret);
  }

  /** The port of its server. */
  int port() {
    return port;
  }

  SandboxServiceGrpc.SandboxServiceBlockingStub sandboxes() {
    return SandboxServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key))
        .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  /** The stub for streams, without a deadline. */
  SandboxServiceGrpc.SandboxServiceStub streams() {
    return SandboxServiceGrpc.newStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key));
  }

  /** The stub for uploads, without a deadline. */
  FileServiceGrpc.FileServiceStub uploads() {
    return FileServiceGrpc.newStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key));
  }

  ExecutionServiceGrpc.ExecutionServiceBlockingStub executions() {
    return ExecutionServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key))
        .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  AdminServiceGrpc.AdminServiceBlockingStub admin() {
    return AdminServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key))
        .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  QuotaServiceGrpc.QuotaServiceBlockingStub quotas() {
    return QuotaServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key))
        .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  CostServiceGrpc.CostServiceBlockingStub costs() {
    return CostServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key))
        .withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS);
  }

  static CreateSandboxRequest sandbox(Duration timeout) {
    return CreateSandboxRequest.newBuilder()
        .setTemplate("base")
        .setTimeout(Durations.fromMillis(timeout.toMillis()))
        .build();
  }

  Sandbox create(Duration timeout) {
    return sandboxes().createSandbox(sandbox(timeout)).getSandbox();
  }

  Sandbox get(String sandboxId) {
    return sandboxes()
        .getSandbox(GetSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  Sandbox pause(String sandboxId) {
    return sandboxes()
        .pauseSandbox(PauseSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  Sandbox resume(String sandboxId) {
    return sandboxes()
        .resumeSandbox(ResumeSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  Sandbox terminate(String sandboxId) {
    return sandboxes()
        .terminateSandbox(TerminateSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  static ExecuteRequest python(String sandboxId, String source) {
    return code(sandboxId, Language.LANGUAGE_PYTHON, source);
  }

  static ExecuteRequest bash(String sandboxId, String source) {
    return code(sandboxId, Language.LANGUAGE_BASH, source);
  }

  private static ExecuteRequest code(String sandboxId, Language language, String source) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandboxId)
        .setCode(Code.newBuilder().setLanguage(language).setSource(source))
        .build();
  }

  /** Runs something, reading its events as fast as they come. */
  Run start(ExecuteRequest request) {
    Run run = new Run();
    streams().execute(request, run);
    return run;
  }

  /** Reads the events of an execution behind the given one as fast as they come. */
  Run attach(String executionId, long afterSequence) {
    Run run = new Run();
    streams()
        .attachExecution(
            AttachExecutionRequest.newBuilder()
                .setExecutionId(executionId)
                .setAfterSequence(afterSequence)
                .build(),
            run.attached());
    return run;
  }

  Execution execution(String executionId) {
    return executions()
        .getExecution(GetExecutionRequest.newBuilder().setExecutionId(executionId).build())
        .getExecution();
  }

  void signal(String executionId, int number) {
    executions()
        .signalExecution(
            SignalExecutionRequest.newBuilder()
                .setExecutionId(executionId)
                .setSignal(number)
                .build());
  }

  /** Runs something to its end and returns what it wrote to its standard output. */
  String run(ExecuteRequest request) {
    ByteString.Output output = ByteString.newOutput();
    sandboxes()
        .execute(request)
        .forEachRemaining(response -> {
          ByteString data = response.getEvent().getStdout().getData();
          output.write(data.toByteArray(), 0, data.size());
        });
    return output.toByteString().toStringUtf8();
  }

  static Instant instant(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
  }

  /** Breaks the connection, as a client that vanishes. */
  @Override
  public void close() {
    channel.shutdownNow();
  }
}
