package dev.sandkeeper.server;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import dev.sandkeeper.v1.AdminServiceGrpc;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.AuditServiceGrpc;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ContextServiceGrpc;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.EngineServiceGrpc;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.PauseSandboxRequest;
import dev.sandkeeper.v1.PricingServiceGrpc;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.ResumeSandboxRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunOnceResponse;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.SecretServiceGrpc;
import dev.sandkeeper.v1.TemplateServiceGrpc;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.WebhookServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.stub.MetadataUtils;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;

/** Somebody who calls the server with one key, and the short ways to what tests do often. */
public final class Caller {
  private static final int PATIENCE_SECONDS = 60;

  private final String secret;
  private final Channel channel;

  Caller(Channel plain, String secret) {
    this.secret = secret;
    Metadata headers = new Metadata();
    if (!secret.isEmpty()) {
      headers.put(
          Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + secret);
    }
    channel =
        ClientInterceptors.intercept(
            plain, MetadataUtils.newAttachHeadersInterceptor(headers), new Patience());
  }

  /** Gives every call a deadline, so that a server that says nothing fails the test. */
  private static final class Patience implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return next.newCall(
          method,
          options.getDeadline() == null
              ? options.withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS)
              : options);
    }
  }

  /** Returns the key that it sends. */
  public String secret() {
    return secret;
  }

  /** Returns the channel that sends the key. */
  public Channel channel() {
    return channel;
  }

  /** Returns the stub. */
  public SandboxServiceGrpc.SandboxServiceBlockingStub sandboxes() {
    return SandboxServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public ExecutionServiceGrpc.ExecutionServiceBlockingStub executions() {
    return ExecutionServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public ContextServiceGrpc.ContextServiceBlockingStub contexts() {
    return ContextServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public FileServiceGrpc.FileServiceBlockingStub files() {
    return FileServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public PricingServiceGrpc.PricingServiceBlockingStub prices() {
    return PricingServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public QuotaServiceGrpc.QuotaServiceBlockingStub quotas() {
    return QuotaServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public CostServiceGrpc.CostServiceBlockingStub costs() {
    return CostServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public AuditServiceGrpc.AuditServiceBlockingStub audit() {
    return AuditServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public AdminServiceGrpc.AdminServiceBlockingStub admin() {
    return AdminServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public TemplateServiceGrpc.TemplateServiceBlockingStub templates() {
    return TemplateServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public EngineServiceGrpc.EngineServiceBlockingStub engines() {
    return EngineServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public WebhookServiceGrpc.WebhookServiceBlockingStub webhooks() {
    return WebhookServiceGrpc.newBlockingStub(channel);
  }

  /** Returns the stub. */
  public SecretServiceGrpc.SecretServiceBlockingStub secrets() {
    return SecretServiceGrpc.newBlockingStub(channel);
  }

  /** Creates a small sandbox for five minutes. */
  public Sandbox create() {
    return create(request -> request);
  }

  /** Creates a sandbox. */
  public Sandbox create(UnaryOperator<CreateSandboxRequest.Builder> change) {
    CreateSandboxRequest.Builder request =
        CreateSandboxRequest.newBuilder().setTimeout(Duration.newBuilder().setSeconds(300));
    return sandboxes().createSandbox(change.apply(request).build()).getSandbox();
  }

  /** Returns the sandbox as it is. */
  public Sandbox get(String sandboxId) {
    return sandboxes()
        .getSandbox(GetSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  /** Pauses a sandbox. */
  public Sandbox pause(String sandboxId) {
    return sandboxes()
        .pauseSandbox(PauseSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  /** Resumes a sandbox. */
  public Sandbox resume(String sandboxId) {
    return sandboxes()
        .resumeSandbox(ResumeSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  /** Ends a sandbox. */
  public Sandbox terminate(String sandboxId) {
    return sandboxes()
        .terminateSandbox(TerminateSandboxRequest.newBuilder().setSandboxId(sandboxId).build())
        .getSandbox();
  }

  /** Returns a sandbox's usage. */
  public SandboxUsage usage(String sandboxId) {
    return sandboxes()
        .getSandboxUsage(GetSandboxUsageRequest.newBuilder().setSandboxId(sandboxId).build())
        .getUsage();
  }

  /** Returns a sandbox's cost records, oldest first. */
  public List<CostRecord> costRecords(String sandboxId) {
    return costs()
        .listCostRecords(
            ListCostRecordsRequest.newBuilder().setSandboxId(sandboxId).setPageSize(1000).build())
        .getCostRecordsList()
        .reversed();
  }

  /** Runs a shell line to its end. */
  public List<ExecutionEvent> shell(String sandboxId, String line) {
    return execute(shellRequest(sandboxId, line));
  }

  /** Runs Python to its end. */
  public List<ExecutionEvent> python(String sandboxId, String source) {
    return execute(pythonRequest(sandboxId, source));
  }

  /** Runs something to its end and returns its events without heartbeats. */
  public List<ExecutionEvent> execute(ExecuteRequest request) {
    return events(sandboxes().execute(request));
  }

  /** Runs something in a sandbox of its own to its end; returns all but the heartbeats. */
  public List<RunOnceResponse> runOnce(RunOnceRequest request) {
    List<RunOnceResponse> steps = new ArrayList<>();
    sandboxes().runOnce(request).forEachRemaining(steps::add);
    steps.removeIf(step -> step.getEvent().hasHeartbeat());
    return steps;
  }

  /** Follows an execution to its end and returns its events without heartbeats. */
  public List<ExecutionEvent> attach(String executionId, long afterSequence) {
    List<ExecutionEvent> events = new ArrayList<>();
    sandboxes()
        .attachExecution(
            AttachExecutionRequest.newBuilder()
                .setExecutionId(executionId)
                .setAfterSequence(afterSequence)
                .build())
        .forEachRemaining((AttachExecutionResponse response) -> events.add(response.getEvent()));
    events.removeIf(ExecutionEvent::hasHeartbeat);
    return events;
  }

  /** Reads the rest of a stream and returns its events without heartbeats. */
  public static List<ExecutionEvent> events(Iterator<ExecuteResponse> stream) {
    List<ExecutionEvent> events = new ArrayList<>();
    stream.forEachRemaining(response -> events.add(response.getEvent()));
    events.removeIf(ExecutionEvent::hasHeartbeat);
    return events;
  }

  /** Asks for a shell line. */
  public static ExecuteRequest shellRequest(String sandboxId, String line) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandboxId)
        .setCommand(Command.newBuilder().setShell(line))
        .build();
  }

  /** Asks for Python. */
  public static ExecuteRequest pythonRequest(String sandboxId, String source) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandboxId)
        .setCode(Code.newBuilder().setLanguage(Language.LANGUAGE_PYTHON).setSource(source))
        .build();
  }

  /** Asks for JavaScript. */
  public static ExecuteRequest javaScriptRequest(String sandboxId, String source) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandboxId)
        .setCode(Code.newBuilder().setLanguage(Language.LANGUAGE_JAVASCRIPT).setSource(source))
        .build();
  }

  /** Asks for code in the default context of its language. */
  public static ExecuteRequest codeRequest(String sandboxId, Language language, String source) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandboxId)
        .setCode(Code.newBuilder().setLanguage(language).setSource(source))
        .build();
  }

  /** Returns all of standard output. */
  public static String stdout(List<ExecutionEvent> events) {
    ByteString bytes = ByteString.EMPTY;
    for (ExecutionEvent event : events) {
      bytes = event.hasStdout() ? bytes.concat(event.getStdout().getData()) : bytes;
    }
    return bytes.toStringUtf8();
  }

  /** Returns all of standard error. */
  public static String stderr(List<ExecutionEvent> events) {
    ByteString bytes = ByteString.EMPTY;
    for (ExecutionEvent event : events) {
      bytes = event.hasStderr() ? bytes.concat(event.getStderr().getData()) : bytes;
    }
    return bytes.toStringUtf8();
  }

  /** Returns how it ended, which the last event says. */
  public static Finished finished(List<ExecutionEvent> events) {
    return events.getLast().getFinished();
  }

  /** Returns its id, which the first event says. */
  public static String executionId(List<ExecutionEvent> events) {
    return events.getFirst().getStarted().getExecutionId();
  }
}
