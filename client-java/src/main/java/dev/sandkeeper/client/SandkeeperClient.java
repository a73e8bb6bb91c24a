package dev.sandkeeper.client;

import com.google.protobuf.Timestamp;
import dev.sandkeeper.v1.AdminServiceGrpc;
import dev.sandkeeper.v1.ApiKey;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.AuditServiceGrpc;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.CreateApiKeyResponse;
import dev.sandkeeper.v1.CreatePriceRequest;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateTenantRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.ListApiKeysRequest;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListAuditEventsResponse;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListCostRecordsResponse;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListExecutionsResponse;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.ListPricesRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.ListSandboxesResponse;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.PricingServiceGrpc;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.RevokeApiKeyRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.Template;
import dev.sandkeeper.v1.TemplateServiceGrpc;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.VerifyAuditChainRequest;
import dev.sandkeeper.v1.VerifyAuditChainResponse;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.AbstractStub;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * A connection to a Sandkeeper server. Safe for use by many threads; close it at the end.
 *
 * <p>Every method blocks and throws {@link SandkeeperException} when its call fails. Calls that
 * create something carry a request id, made here unless the caller gave one: the server does such a
 * call once, however often it arrives.
 */
public final class SandkeeperClient implements AutoCloseable {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Duration SHUTDOWN_TIMEOUT = Duration.ofSeconds(5);

  private final ManagedChannel channel;
  private final Duration callTimeout;
  private final SandboxServiceGrpc.SandboxServiceBlockingV2Stub sandboxes;
  private final ExecutionServiceGrpc.ExecutionServiceBlockingV2Stub executions;
  private final FileServiceGrpc.FileServiceBlockingV2Stub files;
  private final TemplateServiceGrpc.TemplateServiceBlockingV2Stub templates;
  private final PricingServiceGrpc.PricingServiceBlockingV2Stub pricing;
  private final QuotaServiceGrpc.QuotaServiceBlockingV2Stub quotas;
  private final CostServiceGrpc.CostServiceBlockingV2Stub costs;
  private final AuditServiceGrpc.AuditServiceBlockingV2Stub audit;
  private final AdminServiceGrpc.AdminServiceBlockingV2Stub admin;

  private SandkeeperClient(ManagedChannel channel, Duration callTimeout) {
    this.channel = channel;
    this.callTimeout = callTimeout;
    this.sandboxes = SandboxServiceGrpc.newBlockingV2Stub(channel);
    this.executions = ExecutionServiceGrpc.newBlockingV2Stub(channel);
    this.files = FileServiceGrpc.newBlockingV2Stub(channel);
    this.templates = TemplateServiceGrpc.newBlockingV2Stub(channel);
    this.pricing = PricingServiceGrpc.newBlockingV2Stub(channel);
    this.quotas = QuotaServiceGrpc.newBlockingV2Stub(channel);
    this.costs = CostServiceGrpc.newBlockingV2Stub(channel);
    this.audit = AuditServiceGrpc.newBlockingV2Stub(channel);
    this.admin = AdminServiceGrpc.newBlockingV2Stub(channel);
  }

  /**
   * Starts to describe a connection.
   *
   * @param target the server as {@code host:port}
   * @param apiKey the key's secret
   */
  public static Builder builder(String target, String apiKey) {
    return new Builder(target, apiKey);
  }

  /** Creates a sandbox and returns when it is ready. */
  public Sandbox createSandbox(CreateSandboxRequest request) {
    CreateSandboxRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(UUID.randomUUID().toString()).build()
            : request;
    return Calls.unary(() -> timed(sandboxes).createSandbox(repeatable)).getSandbox();
  }

  /** Returns a sandbox, also one that has ended. */
  public Sandbox getSandbox(String sandboxId) {
    GetSandboxRequest request = GetSandboxRequest.newBuilder().setSandboxId(sandboxId).build();
    return Calls.unary(() -> timed(sandboxes).getSandbox(request)).getSandbox();
  }

  /** Returns a page of sandboxes, newest first. */
  public ListSandboxesResponse listSandboxes(ListSandboxesRequest request) {
    return Calls.unary(() -> timed(sandboxes).listSandboxes(request));
  }

  /** Ends a sandbox at once and returns it as it is then; on an ended one it changes nothing. */
  public Sandbox terminateSandbox(String sandboxId) {
    return terminateSandbox(sandboxId, Duration.ZERO);
  }

  /**
   * Ends a sandbox.
   *
   * @param grace how long its processes may take after SIGTERM, 0 to 4 seconds
   */
  public Sandbox terminateSandbox(String sandboxId, Duration grace) {
    TerminateSandboxRequest request =
        TerminateSandboxRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setGrace(
                com.google.protobuf.Duration.newBuilder()
                    .setSeconds(grace.getSeconds())
                    .setNanos(grace.getNano()))
            .build();
    return Calls.unary(() -> timed(sandboxes).terminateSandbox(request)).getSandbox();
  }

  /** Returns what a sandbox used and what was booked for it, running or ended. */
  public SandboxUsage getUsage(String sandboxId) {
    GetSandboxUsageRequest request =
        GetSandboxUsageRequest.newBuilder().setSandboxId(sandboxId).build();
    return Calls.unary(() -> timed(sandboxes).getSandboxUsage(request)).getUsage();
  }

  /** Runs a command or a piece of code and streams its events. */
  public ExecutionStream execute(ExecuteRequest request) {
    ExecuteRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(UUID.randomUUID().toString()).build()
            : request;
    return ExecutionStream.of(sandboxes.execute(repeatable), ExecuteResponse::getEvent, "", 0);
  }

  /** Runs Python in the sandbox's default context, where variables live on. */
  public ExecutionStream runPython(String sandboxId, String source) {
    Code code = Code.newBuilder().setLanguage(Language.LANGUAGE_PYTHON).setSource(source).build();
    return execute(ExecuteRequest.newBuilder().setSandboxId(sandboxId).setCode(code).build());
  }

  /** Runs a line in the sandbox's shell. */
  public ExecutionStream runShell(String sandboxId, String line) {
    Command command = Command.newBuilder().setShell(line).build();
    return execute(ExecuteRequest.newBuilder().setSandboxId(sandboxId).setCommand(command).build());
  }

  /**
   * Streams the events of an execution that was started before, then follows it to its end.
   *
   * @param afterSequence the number of the last event already had; 0 for all
   */
  public ExecutionStream attach(String executionId, long afterSequence) {
    AttachExecutionRequest request =
        AttachExecutionRequest.newBuilder()
            .setExecutionId(executionId)
            .setAfterSequence(afterSequence)
            .build();
    return ExecutionStream.of(
        sandboxes.attachExecution(request),
        AttachExecutionResponse::getEvent,
        executionId,
        afterSequence);
  }

  /** Returns an execution. */
  public Execution getExecution(String executionId) {
    GetExecutionRequest request =
        GetExecutionRequest.newBuilder().setExecutionId(executionId).build();
    return Calls.unary(() -> timed(executions).getExecution(request)).getExecution();
  }

  /** Returns a page of a sandbox's executions, newest first. */
  public ListExecutionsResponse listExecutions(ListExecutionsRequest request) {
    return Calls.unary(() -> timed(executions).listExecutions(request));
  }

  /**
   * Sends a signal to an execution's whole process tree.
   *
   * @param signal its number, 1 to 64
   */
  public void signal(String executionId, int signal) {
    SignalExecutionRequest request =
        SignalExecutionRequest.newBuilder().setExecutionId(executionId).setSignal(signal).build();
    Calls.unary(() -> timed(executions).signalExecution(request));
  }

  /** Returns the files of a sandbox. */
  public SandboxFiles files(String sandboxId) {
    return new SandboxFiles(files, sandboxId, callTimeout);
  }

  /** Returns the templates, sorted by name. */
  public List<Template> listTemplates() {
    ListTemplatesRequest request = ListTemplatesRequest.getDefaultInstance();
    return Calls.unary(() -> timed(templates).listTemplates(request)).getTemplatesList();
  }

  /** Returns every price version, by tier and start. */
  public List<Price> listPrices() {
    ListPricesRequest request = ListPricesRequest.getDefaultInstance();
    return Calls.unary(() -> timed(pricing).listPrices(request)).getPricesList();
  }

  /** Returns the price of a tier now. */
  public Price getPrice(String tier) {
    return getPrice(GetPriceAtRequest.newBuilder().setTier(tier).build());
  }

  /** Returns the price of a tier at a time. */
  public Price getPrice(String tier, Instant time) {
    Timestamp at =
        Timestamp.newBuilder().setSeconds(time.getEpochSecond()).setNanos(time.getNano()).build();
    return getPrice(GetPriceAtRequest.newBuilder().setTier(tier).setTime(at).build());
  }

  private Price getPrice(GetPriceAtRequest request) {
    return Calls.unary(() -> timed(pricing).getPriceAt(request)).getPrice();
  }

  /** Adds a version of a tier's price. */
  public Price createPrice(Price price) {
    CreatePriceRequest request = CreatePriceRequest.newBuilder().setPrice(price).build();
    return Calls.unary(() -> timed(pricing).createPrice(request)).getPrice();
  }

  /** Returns how much of each limit of the key's tenant is spent, held and left. */
  public List<QuotaStatus> getQuota() {
    GetQuotaRequest request = GetQuotaRequest.getDefaultInstance();
    return Calls.unary(() -> timed(quotas).getQuota(request)).getQuotasList();
  }

  /** Returns the limits of the key's tenant, shortest period first. */
  public List<Limit> listLimits() {
    ListLimitsRequest request = ListLimitsRequest.getDefaultInstance();
    return Calls.unary(() -> timed(quotas).listLimits(request)).getLimitsList();
  }

  /**
   * Sets what the key's tenant may spend in a period.
   *
   * @param amountNanoUsd the amount in nano-USD (1 USD is 1,000,000,000), 0 or more
   */
  public Limit setLimit(LimitPeriod period, long amountNanoUsd) {
    return setLimit(
        SetLimitRequest.newBuilder().setPeriod(period).setAmountNanoUsd(amountNanoUsd).build());
  }

  /** Sets what a tenant may spend in a period. */
  public Limit setLimit(SetLimitRequest request) {
    return Calls.unary(() -> timed(quotas).setLimit(request)).getLimit();
  }

  /** Deletes a limit; what was spent stays booked. */
  public void deleteLimit(String limitId) {
    DeleteLimitRequest request = DeleteLimitRequest.newBuilder().setLimitId(limitId).build();
    Calls.unary(() -> timed(quotas).deleteLimit(request));
  }

  /** Returns a page of cost records, newest first. */
  public ListCostRecordsResponse listCostRecords(ListCostRecordsRequest request) {
    return Calls.unary(() -> timed(costs).listCostRecords(request));
  }

  /** Returns a page of audit events, newest first. */
  public ListAuditEventsResponse listAuditEvents(ListAuditEventsRequest request) {
    return Calls.unary(() -> timed(audit).listAuditEvents(request));
  }

  /** Recomputes the hash chain of the key's tenant. */
  public VerifyAuditChainResponse verifyAuditChain() {
    VerifyAuditChainRequest request = VerifyAuditChainRequest.getDefaultInstance();
    return Calls.unary(() -> timed(audit).verifyAuditChain(request));
  }

  /** Adds a tenant; one that exists stays as it is. */
  public void createTenant(String tenantId) {
    CreateTenantRequest request = CreateTenantRequest.newBuilder().setTenantId(tenantId).build();
    Calls.unary(() -> timed(admin).createTenant(request));
  }

  /** Makes an API key; its secret is in this answer only. */
  public CreateApiKeyResponse createApiKey(CreateApiKeyRequest request) {
    return Calls.unary(() -> timed(admin).createApiKey(request));
  }

  /** Returns the keys of the key's tenant, newest first, without their secrets. */
  public List<ApiKey> listApiKeys() {
    ListApiKeysRequest request = ListApiKeysRequest.getDefaultInstance();
    return Calls.unary(() -> timed(admin).listApiKeys(request)).getApiKeysList();
  }

  /** Revokes a key; calls with it are refused from then on. */
  public ApiKey revokeApiKey(String keyId) {
    RevokeApiKeyRequest request = RevokeApiKeyRequest.newBuilder().setKeyId(keyId).build();
    return Calls.unary(() -> timed(admin).revokeApiKey(request)).getApiKey();
  }

  /**
   * Ends every call that is under way and closes the connection. Sandboxes and executions live on.
   */
  @Override
  public void close() {
    channel.shutdownNow();
    try {
      channel.awaitTermination(SHUTDOWN_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      // The calls are ended already; only the wait for the sockets is cut short.
      Thread.currentThread().interrupt();
    }
  }

  private <S extends AbstractStub<S>> S timed(S stub) {
    return stub.withDeadlineAfter(callTimeout.toMillis(), TimeUnit.MILLISECONDS);
  }

  /** Describes a connection. */
  public static final class Builder {
    /** A bundle of results may be larger than gRPC's default of 4 MiB allows. */
    private static final int MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

    private final String target;
    private final String apiKey;
    private boolean plaintext;
    private Duration callTimeout = Duration.ofSeconds(30);

    private Builder(String target, String apiKey) {
      this.target = target;
      this.apiKey = apiKey;
    }

    /** Speaks without TLS: for a server on this machine, or behind something that adds TLS. */
    public Builder plaintext() {
      plaintext = true;
      return this;
    }

    /**
     * Sets how long a call that is not a stream may take; 30 seconds by default.
     *
     * @param timeout more than zero
     * @throws IllegalArgumentException when it is not
     */
    public Builder callTimeout(Duration timeout) {
      if (timeout.isNegative() || timeout.isZero()) {
        throw new IllegalArgumentException("timeout: " + timeout + " (expected: > 0)");
      }
      callTimeout = timeout;
      return this;
    }

    /** Makes the client; it connects with its first call. */
    public SandkeeperClient build() {
      NettyChannelBuilder channel = NettyChannelBuilder.forTarget(target);
      if (plaintext) {
        channel.usePlaintext();
      }
      return build(channel);
    }

    SandkeeperClient build(ManagedChannelBuilder<?> channel) {
      Metadata headers = new Metadata();
      headers.put(AUTHORIZATION, "Bearer " + apiKey);
      return new SandkeeperClient(
          channel
              .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
              .maxInboundMessageSize(MAX_MESSAGE_BYTES)
              .userAgent("sandkeeper-client-java")
              .build(),
          callTimeout);
    }
  }
}
