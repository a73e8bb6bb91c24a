package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.AdminServiceGrpc;
import dev.sandkeeper.v1.ApiKey;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.AuditServiceGrpc;
import dev.sandkeeper.v1.CheckInvariantsRequest;
import dev.sandkeeper.v1.CloseInputRequest;
import dev.sandkeeper.v1.Context;
import dev.sandkeeper.v1.ContextServiceGrpc;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CostReportRow;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.CreateApiKeyResponse;
import dev.sandkeeper.v1.CreateContextRequest;
import dev.sandkeeper.v1.CreateCorrectionRequest;
import dev.sandkeeper.v1.CreateCreditRequest;
import dev.sandkeeper.v1.CreateModelPriceRequest;
import dev.sandkeeper.v1.CreatePriceRequest;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateTemplateRequest;
import dev.sandkeeper.v1.CreateTenantRequest;
import dev.sandkeeper.v1.CreateWebhookRequest;
import dev.sandkeeper.v1.CreateWebhookResponse;
import dev.sandkeeper.v1.DeleteContextRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.DeleteSecretRequest;
import dev.sandkeeper.v1.DeleteTemplateRequest;
import dev.sandkeeper.v1.DeleteWebhookRequest;
import dev.sandkeeper.v1.Delivery;
import dev.sandkeeper.v1.Engine;
import dev.sandkeeper.v1.EngineDrift;
import dev.sandkeeper.v1.EngineServiceGrpc;
import dev.sandkeeper.v1.EstimateCostRequest;
import dev.sandkeeper.v1.EstimateCostResponse;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.ExposePortRequest;
import dev.sandkeeper.v1.ExposePortResponse;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.GetCostReportRequest;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.GetModelPriceAtRequest;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetQuotaResponse;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.GetTemplateRequest;
import dev.sandkeeper.v1.Hold;
import dev.sandkeeper.v1.InterruptContextRequest;
import dev.sandkeeper.v1.InvariantViolation;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.LimitScope;
import dev.sandkeeper.v1.ListApiKeysRequest;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListAuditEventsResponse;
import dev.sandkeeper.v1.ListContextsRequest;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListCostRecordsResponse;
import dev.sandkeeper.v1.ListDeliveriesRequest;
import dev.sandkeeper.v1.ListDeliveriesResponse;
import dev.sandkeeper.v1.ListEngineDriftsRequest;
import dev.sandkeeper.v1.ListEngineDriftsResponse;
import dev.sandkeeper.v1.ListEnginesRequest;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListExecutionsResponse;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.ListLimitsResponse;
import dev.sandkeeper.v1.ListModelPricesRequest;
import dev.sandkeeper.v1.ListPricesRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.ListSandboxesResponse;
import dev.sandkeeper.v1.ListSecretsRequest;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.ListWebhooksRequest;
import dev.sandkeeper.v1.LlmCost;
import dev.sandkeeper.v1.ModelPrice;
import dev.sandkeeper.v1.PauseSandboxRequest;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.PricingServiceGrpc;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.ReadArtifactsRequest;
import dev.sandkeeper.v1.RecordLlmUsageRequest;
import dev.sandkeeper.v1.RecordLlmUsageResponse;
import dev.sandkeeper.v1.ReleaseRequest;
import dev.sandkeeper.v1.ReserveRequest;
import dev.sandkeeper.v1.ResizeTerminalRequest;
import dev.sandkeeper.v1.RestartContextRequest;
import dev.sandkeeper.v1.ResumeSandboxRequest;
import dev.sandkeeper.v1.RevokeApiKeyRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.Secret;
import dev.sandkeeper.v1.SecretServiceGrpc;
import dev.sandkeeper.v1.SendInputRequest;
import dev.sandkeeper.v1.SendTestAlertRequest;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SetSecretRequest;
import dev.sandkeeper.v1.SettleRequest;
import dev.sandkeeper.v1.SignalExecutionRequest;
import dev.sandkeeper.v1.Template;
import dev.sandkeeper.v1.TemplateServiceGrpc;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.UpdateTemplateRequest;
import dev.sandkeeper.v1.VerifyAuditChainRequest;
import dev.sandkeeper.v1.VerifyAuditChainResponse;
import dev.sandkeeper.v1.Webhook;
import dev.sandkeeper.v1.WebhookServiceGrpc;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import java.io.IOException;
import java.io.OutputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A connection to a Sandkeeper server. Safe for use by many threads; close it at the end.
 *
 * <pre>{@code
 * try (SandkeeperClient client = SandkeeperClient.builder("sandkeeper.example:443").apiKey(key).build();
 *     SandboxHandle sandbox = client.createSandbox()) {
 *   System.out.println(sandbox.python("print(6 * 7)").run().stdoutText());
 * }
 * }</pre>
 *
 * <p>Methods block, and throw {@link SandkeeperException} when their call fails. Calls that only
 * read, that create by a request id, and {@link #pauseSandbox}, {@link #resumeSandbox} and {@link
 * #terminateSandbox} are tried up to three times when the server cannot be reached, as arriving
 * twice does no harm; all others are made once. Calls that create something carry a request id,
 * made here unless the caller gave one.
 */
public final class SandkeeperClient implements AutoCloseable {
  private static final Duration SHUTDOWN_TIMEOUT = Duration.ofSeconds(5);

  private final ManagedChannel channel;
  private final Calls calls;
  private final Streams streams;
  private final SandboxServiceGrpc.SandboxServiceBlockingV2Stub sandboxes;
  private final ExecutionServiceGrpc.ExecutionServiceBlockingV2Stub executions;
  private final ContextServiceGrpc.ContextServiceBlockingV2Stub contexts;
  private final FileServiceGrpc.FileServiceBlockingV2Stub files;
  private final TemplateServiceGrpc.TemplateServiceBlockingV2Stub templates;
  private final EngineServiceGrpc.EngineServiceBlockingV2Stub engines;
  private final PricingServiceGrpc.PricingServiceBlockingV2Stub pricing;
  private final QuotaServiceGrpc.QuotaServiceBlockingV2Stub quotas;
  private final CostServiceGrpc.CostServiceBlockingV2Stub costs;
  private final WebhookServiceGrpc.WebhookServiceBlockingV2Stub webhooks;
  private final SecretServiceGrpc.SecretServiceBlockingV2Stub secrets;
  private final AuditServiceGrpc.AuditServiceBlockingV2Stub audit;
  private final AdminServiceGrpc.AdminServiceBlockingV2Stub admin;

  SandkeeperClient(ManagedChannel channel, Calls calls, Streams streams) {
    this.channel = channel;
    this.calls = calls;
    this.streams = streams;
    this.sandboxes = SandboxServiceGrpc.newBlockingV2Stub(channel);
    this.executions = ExecutionServiceGrpc.newBlockingV2Stub(channel);
    this.files = FileServiceGrpc.newBlockingV2Stub(channel);
    this.templates = TemplateServiceGrpc.newBlockingV2Stub(channel);
    this.engines = EngineServiceGrpc.newBlockingV2Stub(channel);
    this.pricing = PricingServiceGrpc.newBlockingV2Stub(channel);
    this.quotas = QuotaServiceGrpc.newBlockingV2Stub(channel);
    this.costs = CostServiceGrpc.newBlockingV2Stub(channel);
    this.contexts = ContextServiceGrpc.newBlockingV2Stub(channel);
    this.webhooks = WebhookServiceGrpc.newBlockingV2Stub(channel);
    this.secrets = SecretServiceGrpc.newBlockingV2Stub(channel);
    this.audit = AuditServiceGrpc.newBlockingV2Stub(channel);
    this.admin = AdminServiceGrpc.newBlockingV2Stub(channel);
  }

  /**
   * Starts to describe a connection.
   *
   * @param target the server as {@code host:port}
   */
  public static ClientBuilder builder(String target) {
    return new ClientBuilder(target);
  }

  /**
   * Makes a stub of the contract on this connection, with its key, for what has no method here. It
   * has no deadline and throws gRPC's own exceptions.
   *
   * @param factory such as {@code SandboxServiceGrpc::newFutureStub}
   */
  public <S> S stub(Function<Channel, S> factory) {
    return factory.apply(channel);
  }

  /** Creates a sandbox with the server's defaults and returns when it is ready. */
  public SandboxHandle createSandbox() {
    return createSandbox(CreateSandboxRequest.getDefaultInstance());
  }

  /**
   * Creates a sandbox and returns when it is ready.
   *
   * @param timeout how long it may live, 1 second to 24 hours
   */
  public SandboxHandle createSandbox(Duration timeout) {
    return createSandbox(
        CreateSandboxRequest.newBuilder().setTimeout(Times.toProto(timeout)).build());
  }

  /**
   * Creates a sandbox and returns when it is ready.
   *
   * @throws QuotaExceededException when a limit has not enough left
   */
  public SandboxHandle createSandbox(CreateSandboxRequest request) {
    CreateSandboxRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(newRequestId()).build()
            : request;
    // What the engine failed to start, the same request id never starts.
    Sandbox sandbox =
        calls
            .repeatable(sandboxes, s -> s.createSandbox(repeatable), "ENGINE_UNAVAILABLE")
            .getSandbox();
    return sandbox(sandbox.getSandboxId());
  }

  /** Returns a handle on a sandbox that there is, without asking the server. */
  public SandboxHandle sandbox(String sandboxId) {
    return new SandboxHandle(this, sandboxId);
  }

  /** Returns a sandbox as it is now, also one that has ended. */
  public Sandbox getSandbox(String sandboxId) {
    GetSandboxRequest request = GetSandboxRequest.newBuilder().setSandboxId(sandboxId).build();
    return calls.repeatable(sandboxes, s -> s.getSandbox(request)).getSandbox();
  }

  /** Returns the sandboxes that match, newest first, page by page. */
  public Stream<Sandbox> listSandboxes(ListSandboxesRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                sandboxes, s -> s.listSandboxes(request.toBuilder().setPageToken(token).build())),
        ListSandboxesResponse::getSandboxesList,
        ListSandboxesResponse::getNextPageToken);
  }

  /** Pauses a sandbox, which stays as it is and costs less; on a paused one it changes nothing. */
  public Sandbox pauseSandbox(String sandboxId) {
    PauseSandboxRequest request = PauseSandboxRequest.newBuilder().setSandboxId(sandboxId).build();
    return calls.repeatable(sandboxes, s -> s.pauseSandbox(request)).getSandbox();
  }

  /**
   * Lets a paused sandbox go on; on one that runs it changes nothing.
   *
   * @throws QuotaExceededException when a limit has not enough left; it stays paused
   */
  public Sandbox resumeSandbox(String sandboxId) {
    ResumeSandboxRequest request =
        ResumeSandboxRequest.newBuilder().setSandboxId(sandboxId).build();
    return calls.repeatable(sandboxes, s -> s.resumeSandbox(request)).getSandbox();
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
            .setGrace(Times.toProto(grace))
            .build();
    return calls.repeatable(sandboxes, s -> s.terminateSandbox(request)).getSandbox();
  }

  /**
   * Makes a URL by which a port of a sandbox can be reached for a while, by whoever has it.
   *
   * @param port the one that a program in it listens on, 1 to 65535
   * @param validity how long the URL is good, 1 s to 24 h
   */
  public ExposePortResponse exposePort(String sandboxId, int port, Duration validity) {
    ExposePortRequest request =
        ExposePortRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setPort(port)
            .setValidity(Times.toProto(validity))
            .build();
    return calls.repeatable(sandboxes, s -> s.exposePort(request));
  }

  /** Returns what a sandbox used and what was booked for it, running or ended. */
  public SandboxUsage getUsage(String sandboxId) {
    GetSandboxUsageRequest request =
        GetSandboxUsageRequest.newBuilder().setSandboxId(sandboxId).build();
    return calls.repeatable(sandboxes, s -> s.getSandboxUsage(request)).getUsage();
  }

  /** Runs a command or a piece of code and returns its events as they come. */
  public ExecutionStream execute(ExecuteRequest request) {
    ExecuteRequest repeatable = repeatable(request);
    return ExecutionStream.start(
        streams.options(),
        (options, receiver) -> ExecutionFlow.execute(streams, options, repeatable, receiver),
        "",
        0);
  }

  /**
   * Runs a command or a piece of code and brings its events to a listener, one after the other, on
   * the client's executor. A broken connection is attached to again as in an {@link
   * ExecutionStream}.
   *
   * @return how the execution ended; fails with {@link SandkeeperException} when the stream failed
   *     for good, and with what the listener threw. Cancelling it ends the stream, not the program
   */
  public CompletableFuture<ExecutionEvent.Finished> execute(
      ExecuteRequest request, ExecutionListener listener) {
    ExecuteRequest repeatable = repeatable(request);
    return ListenerFlow.start(
        streams.options(),
        (options, receiver) -> ExecutionFlow.execute(streams, options, repeatable, receiver),
        listener);
  }

  /**
   * Runs something in a sandbox of its own and returns its events as they come. The sandbox ends
   * with the execution, also when the stream is closed before; {@link #getExecution} tells which it
   * is, and {@link #getUsage} what it cost in all.
   */
  public ExecutionStream runOnce(RunOnceRequest request) {
    RunOnceRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(newRequestId()).build()
            : request;
    return ExecutionStream.start(
        streams.options(),
        (options, receiver) -> ExecutionFlow.runOnce(streams, options, repeatable, receiver),
        "",
        0);
  }

  /**
   * Reads the files that an execution was to keep, as a tar archive; waits for the execution's end.
   *
   * @param target takes the archive; not closed
   * @return how many files and symbolic links are in it
   * @throws SandkeeperException {@code ARTIFACTS_NOT_SELECTED}, {@code ARTIFACTS_NOT_KEPT}, or why
   *     they could not be collected
   * @throws IOException when the target cannot be written
   */
  public int readArtifacts(String executionId, OutputStream target) throws IOException {
    return new Download(streams, (bytes, totalBytes) -> {})
        .artifacts(ReadArtifactsRequest.newBuilder().setExecutionId(executionId).build(), target);
  }

  /**
   * Returns the events of an execution that was started before, then follows it to its end.
   *
   * @param afterSequence the number of the last event already had; 0 for all
   */
  public ExecutionStream attach(String executionId, long afterSequence) {
    return ExecutionStream.start(
        streams.options(),
        (options, receiver) ->
            ExecutionFlow.attach(streams, options, executionId, afterSequence, receiver),
        executionId,
        afterSequence);
  }

  /**
   * Brings the events of an execution that was started before to a listener; see {@link
   * #execute(ExecuteRequest, ExecutionListener)}.
   *
   * @param afterSequence the number of the last event already had; 0 for all
   */
  public CompletableFuture<ExecutionEvent.Finished> attach(
      String executionId, long afterSequence, ExecutionListener listener) {
    return ListenerFlow.start(
        streams.options(),
        (options, receiver) ->
            ExecutionFlow.attach(streams, options, executionId, afterSequence, receiver),
        listener);
  }

  /** Returns an execution. */
  public Execution getExecution(String executionId) {
    GetExecutionRequest request =
        GetExecutionRequest.newBuilder().setExecutionId(executionId).build();
    return calls.repeatable(executions, s -> s.getExecution(request)).getExecution();
  }

  /** Returns a sandbox's executions, newest first, page by page. */
  public Stream<Execution> listExecutions(ListExecutionsRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                executions, s -> s.listExecutions(request.toBuilder().setPageToken(token).build())),
        ListExecutionsResponse::getExecutionsList,
        ListExecutionsResponse::getNextPageToken);
  }

  /**
   * Sends a signal to an execution's whole process tree.
   *
   * @param signal its number, 1 to 64
   */
  public void signal(String executionId, int signal) {
    SignalExecutionRequest request =
        SignalExecutionRequest.newBuilder().setExecutionId(executionId).setSignal(signal).build();
    calls.once(executions, s -> s.signalExecution(request));
  }

  /** Returns the way to send a program input that was not sent any before. */
  public ExecutionInput input(String executionId) {
    return input(executionId, 0);
  }

  /**
   * Returns the way to send a program more input.
   *
   * @param offset how many bytes were sent before, see {@link ExecutionInput#offset()}
   */
  public ExecutionInput input(String executionId, long offset) {
    return new ExecutionInput(this, executionId, offset);
  }

  /**
   * Sends input, once however often the call is tried.
   *
   * @param offset how many bytes were sent before
   * @param data 1 byte to 64 KiB
   * @return how many bytes were sent with these
   */
  long sendInput(String executionId, long offset, ByteString data) {
    SendInputRequest request =
        SendInputRequest.newBuilder()
            .setExecutionId(executionId)
            .setOffset(offset)
            .setData(data)
            .build();
    return calls.repeatable(executions, s -> s.sendInput(request)).getNextOffset();
  }

  /** Ends a program's input; does nothing when it was ended before. */
  void closeInput(String executionId) {
    CloseInputRequest request = CloseInputRequest.newBuilder().setExecutionId(executionId).build();
    calls.repeatable(executions, s -> s.closeInput(request));
  }

  /**
   * Gives an execution's terminal another size, of which its foreground programs hear.
   *
   * @param rows how many lines, 1 to 65,535
   * @param columns how many characters a line has, 1 to 65,535
   */
  public void resizeTerminal(String executionId, int rows, int columns) {
    ResizeTerminalRequest request =
        ResizeTerminalRequest.newBuilder()
            .setExecutionId(executionId)
            .setRows(rows)
            .setColumns(columns)
            .build();
    calls.repeatable(executions, s -> s.resizeTerminal(request));
  }

  /** Returns the files of a sandbox. */
  public SandboxFiles files(String sandboxId) {
    return new SandboxFiles(calls, streams, files, sandboxId);
  }

  /** Returns the engines of the server and how they stand. Needs the scope admin. */
  public List<Engine> listEngines() {
    ListEnginesRequest request = ListEnginesRequest.getDefaultInstance();
    return calls.repeatable(engines, s -> s.listEngines(request)).getEnginesList();
  }

  /**
   * Returns what came of comparing bills with the engines' records, newest first, page by page.
   * Needs the scope admin.
   */
  public Stream<EngineDrift> listEngineDrifts(ListEngineDriftsRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                engines, s -> s.listEngineDrifts(request.toBuilder().setPageToken(token).build())),
        ListEngineDriftsResponse::getEngineDriftsList,
        ListEngineDriftsResponse::getNextPageToken);
  }

  /** Returns the templates, sorted by name. */
  public List<Template> listTemplates() {
    ListTemplatesRequest request = ListTemplatesRequest.getDefaultInstance();
    return calls.repeatable(templates, s -> s.listTemplates(request)).getTemplatesList();
  }

  /** Returns a template. */
  public Template getTemplate(String name) {
    GetTemplateRequest request = GetTemplateRequest.newBuilder().setName(name).build();
    return calls.repeatable(templates, s -> s.getTemplate(request)).getTemplate();
  }

  /**
   * Makes a template; needs a key with the scope admin.
   *
   * @param template what it says; absent fields are those of {@code base} as it comes
   */
  public Template createTemplate(String name, Template template) {
    CreateTemplateRequest request =
        CreateTemplateRequest.newBuilder().setName(name).setTemplate(template).build();
    return calls.once(templates, s -> s.createTemplate(request)).getTemplate();
  }

  /** Changes some fields of a template, or all; needs a key with the scope admin. */
  public Template updateTemplate(UpdateTemplateRequest request) {
    return calls.once(templates, s -> s.updateTemplate(request)).getTemplate();
  }

  /** Deletes a template, but no sandbox that was made from it; needs a key with the scope admin. */
  public void deleteTemplate(String name) {
    DeleteTemplateRequest request = DeleteTemplateRequest.newBuilder().setName(name).build();
    calls.once(templates, s -> s.deleteTemplate(request));
  }

  /** Returns every price version, by tier and start. */
  public List<Price> listPrices() {
    ListPricesRequest request = ListPricesRequest.getDefaultInstance();
    return calls.repeatable(pricing, s -> s.listPrices(request)).getPricesList();
  }

  /** Returns the price of a tier now. */
  public Price getPrice(String tier) {
    return getPrice(GetPriceAtRequest.newBuilder().setTier(tier).build());
  }

  /** Returns the price of a tier at a time. */
  public Price getPrice(String tier, Instant time) {
    return getPrice(
        GetPriceAtRequest.newBuilder().setTier(tier).setTime(Times.toProto(time)).build());
  }

  private Price getPrice(GetPriceAtRequest request) {
    return calls.repeatable(pricing, s -> s.getPriceAt(request)).getPrice();
  }

  /** Adds a version of a tier's price. */
  public Price createPrice(Price price) {
    CreatePriceRequest request = CreatePriceRequest.newBuilder().setPrice(price).build();
    return calls.once(pricing, s -> s.createPrice(request)).getPrice();
  }

  /** Returns how much of each of the tenant's own limits is spent, held and left, newest first. */
  public List<QuotaStatus> getQuota() {
    return getQuota(GetQuotaRequest.newBuilder().setScope(LimitScope.LIMIT_SCOPE_TENANT).build())
        .toList();
  }

  /** Returns how much of each limit that matches is spent, held and left, page by page. */
  public Stream<QuotaStatus> getQuota(GetQuotaRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                quotas, s -> s.getQuota(request.toBuilder().setPageToken(token).build())),
        GetQuotaResponse::getQuotasList,
        GetQuotaResponse::getNextPageToken);
  }

  /** Returns the limits that match, newest first, page by page. */
  public Stream<Limit> listLimits(ListLimitsRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                quotas, s -> s.listLimits(request.toBuilder().setPageToken(token).build())),
        ListLimitsResponse::getLimitsList,
        ListLimitsResponse::getNextPageToken);
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

  /** Sets how much of a resource a scope may use in a period. */
  public Limit setLimit(SetLimitRequest request) {
    return calls.once(quotas, s -> s.setLimit(request)).getLimit();
  }

  /** Deletes a limit; what was spent stays booked. */
  public void deleteLimit(String limitId) {
    DeleteLimitRequest request = DeleteLimitRequest.newBuilder().setLimitId(limitId).build();
    calls.once(quotas, s -> s.deleteLimit(request));
  }

  /**
   * Sets money aside for a language model's work. With a request id, which the request gets when it
   * has none, it is safe to repeat, and is repeated by itself.
   */
  public Hold reserve(ReserveRequest request) {
    ReserveRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(newRequestId()).build()
            : request;
    return calls.repeatable(quotas, s -> s.reserve(repeatable)).getHold();
  }

  /** Books what a language model's work came to, and gives the rest of its hold back. */
  public Hold settle(String holdId, LlmCost cost) {
    SettleRequest request = SettleRequest.newBuilder().setHoldId(holdId).setCost(cost).build();
    return calls.repeatable(quotas, s -> s.settle(request)).getHold();
  }

  /** Gives a hold back, as nothing was spent. */
  public Hold release(String holdId) {
    ReleaseRequest request = ReleaseRequest.newBuilder().setHoldId(holdId).build();
    return calls.repeatable(quotas, s -> s.release(request)).getHold();
  }

  /**
   * Books a language model's work for which no money was set aside. Repeated as {@link #reserve}.
   */
  public RecordLlmUsageResponse recordLlmUsage(RecordLlmUsageRequest request) {
    RecordLlmUsageRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(newRequestId()).build()
            : request;
    return calls.repeatable(costs, s -> s.recordLlmUsage(repeatable));
  }

  /** Adds a version of what a model's tokens cost. */
  public ModelPrice createModelPrice(ModelPrice price) {
    CreateModelPriceRequest request =
        CreateModelPriceRequest.newBuilder().setModelPrice(price).build();
    return calls.once(pricing, s -> s.createModelPrice(request)).getModelPrice();
  }

  /** Returns every version of models' prices, by model and start. */
  public List<ModelPrice> listModelPrices() {
    ListModelPricesRequest request = ListModelPricesRequest.getDefaultInstance();
    return calls.repeatable(pricing, s -> s.listModelPrices(request)).getModelPricesList();
  }

  /** Returns the price of a model now. */
  public ModelPrice getModelPrice(String model) {
    GetModelPriceAtRequest request = GetModelPriceAtRequest.newBuilder().setModel(model).build();
    return calls.repeatable(pricing, s -> s.getModelPriceAt(request)).getModelPrice();
  }

  /** Returns the cost records that match, newest first, page by page. */
  public Stream<CostRecord> listCostRecords(ListCostRecordsRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                costs, s -> s.listCostRecords(request.toBuilder().setPageToken(token).build())),
        ListCostRecordsResponse::getCostRecordsList,
        ListCostRecordsResponse::getNextPageToken);
  }

  /** Returns sums of cost records, by bucket, then largest first. */
  public List<CostReportRow> getCostReport(GetCostReportRequest request) {
    return calls.repeatable(costs, s -> s.getCostReport(request)).getRowsList();
  }

  /** Corrects what a cost record came to. Repeated as {@link #reserve}. */
  public CostRecord createCorrection(CreateCorrectionRequest request) {
    CreateCorrectionRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(newRequestId()).build()
            : request;
    return calls.repeatable(costs, s -> s.createCorrection(repeatable)).getCostRecord();
  }

  /** Gives a tenant, or one of its scopes, a credit. Repeated as {@link #reserve}. */
  public CostRecord createCredit(CreateCreditRequest request) {
    CreateCreditRequest repeatable =
        request.getRequestId().isEmpty()
            ? request.toBuilder().setRequestId(newRequestId()).build()
            : request;
    return calls.repeatable(costs, s -> s.createCredit(repeatable)).getCostRecord();
  }

  /**
   * Adds a context to a sandbox: an interpreter whose variables live on. Tried once: a repetition
   * of one with an id would find that taken.
   */
  public Context createContext(CreateContextRequest request) {
    return calls.once(contexts, s -> s.createContext(request)).getContext();
  }

  /** Returns the contexts of a sandbox, the default ones first. */
  public List<Context> listContexts(String sandboxId) {
    ListContextsRequest request = ListContextsRequest.newBuilder().setSandboxId(sandboxId).build();
    return calls.repeatable(contexts, s -> s.listContexts(request)).getContextsList();
  }

  /** Ends the code that runs in a context, and keeps its variables. */
  public void interruptContext(String sandboxId, String contextId) {
    InterruptContextRequest request =
        InterruptContextRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setContextId(contextId)
            .build();
    calls.once(contexts, s -> s.interruptContext(request));
  }

  /** Ends all that runs in a context, and drops its variables. */
  public void restartContext(String sandboxId, String contextId) {
    RestartContextRequest request =
        RestartContextRequest.newBuilder().setSandboxId(sandboxId).setContextId(contextId).build();
    calls.once(contexts, s -> s.restartContext(request));
  }

  /** Removes a context with all that runs in it. */
  public void deleteContext(String sandboxId, String contextId) {
    DeleteContextRequest request =
        DeleteContextRequest.newBuilder().setSandboxId(sandboxId).setContextId(contextId).build();
    calls.once(contexts, s -> s.deleteContext(request));
  }

  /** Makes a webhook for the alerts of the key's tenant; its secret is in this answer only. */
  public CreateWebhookResponse createWebhook(String url) {
    return createWebhook(CreateWebhookRequest.newBuilder().setUrl(url).build());
  }

  /** Makes a webhook for the alerts of a tenant; its secret is in this answer only. */
  public CreateWebhookResponse createWebhook(CreateWebhookRequest request) {
    return calls.once(webhooks, s -> s.createWebhook(request));
  }

  /** Returns the webhooks of the key's tenant, newest first, without their secrets. */
  public List<Webhook> listWebhooks() {
    ListWebhooksRequest request = ListWebhooksRequest.getDefaultInstance();
    return calls.repeatable(webhooks, s -> s.listWebhooks(request)).getWebhooksList();
  }

  /** Deletes a webhook with its deliveries, also those that wait. */
  public void deleteWebhook(String webhookId) {
    DeleteWebhookRequest request =
        DeleteWebhookRequest.newBuilder().setWebhookId(webhookId).build();
    calls.once(webhooks, s -> s.deleteWebhook(request));
  }

  /** Sets a secret of the key's tenant, a new one or the value of one that there is. */
  public Secret setSecret(String name, String value) {
    SetSecretRequest request = SetSecretRequest.newBuilder().setName(name).setValue(value).build();
    return calls.repeatable(secrets, s -> s.setSecret(request)).getSecret();
  }

  /** Returns the secrets of the key's tenant by name, without their values. */
  public List<Secret> listSecrets() {
    ListSecretsRequest request = ListSecretsRequest.getDefaultInstance();
    return calls.repeatable(secrets, s -> s.listSecrets(request)).getSecretsList();
  }

  /** Deletes a secret of the key's tenant. */
  public void deleteSecret(String name) {
    DeleteSecretRequest request = DeleteSecretRequest.newBuilder().setName(name).build();
    calls.once(secrets, s -> s.deleteSecret(request));
  }

  /** Returns the deliveries of alerts that match, newest first, page by page. */
  public Stream<Delivery> listDeliveries(ListDeliveriesRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                webhooks, s -> s.listDeliveries(request.toBuilder().setPageToken(token).build())),
        ListDeliveriesResponse::getDeliveriesList,
        ListDeliveriesResponse::getNextPageToken);
  }

  /** Sends a test alert to a webhook and returns the delivery, which has yet to be made. */
  public Delivery sendTestAlert(String webhookId) {
    SendTestAlertRequest request =
        SendTestAlertRequest.newBuilder().setWebhookId(webhookId).build();
    return calls.once(webhooks, s -> s.sendTestAlert(request)).getDelivery();
  }

  /** Returns the audit events that match, newest first, page by page. */
  public Stream<AuditEvent> listAuditEvents(ListAuditEventsRequest request) {
    return Pages.stream(
        request.getPageToken(),
        token ->
            calls.repeatable(
                audit, s -> s.listAuditEvents(request.toBuilder().setPageToken(token).build())),
        ListAuditEventsResponse::getAuditEventsList,
        ListAuditEventsResponse::getNextPageToken);
  }

  /** Recomputes the hash chain of the key's tenant. */
  public VerifyAuditChainResponse verifyAuditChain() {
    VerifyAuditChainRequest request = VerifyAuditChainRequest.getDefaultInstance();
    return calls.repeatable(audit, s -> s.verifyAuditChain(request));
  }

  /** Adds a tenant; one that exists stays as it is. */
  public void createTenant(String tenantId) {
    CreateTenantRequest request = CreateTenantRequest.newBuilder().setTenantId(tenantId).build();
    calls.once(admin, s -> s.createTenant(request));
  }

  /** Makes an API key; its secret is in this answer only. */
  public CreateApiKeyResponse createApiKey(CreateApiKeyRequest request) {
    return calls.once(admin, s -> s.createApiKey(request));
  }

  /** Returns the keys of the key's tenant, newest first, without their secrets. */
  public List<ApiKey> listApiKeys() {
    ListApiKeysRequest request = ListApiKeysRequest.getDefaultInstance();
    return calls.repeatable(admin, s -> s.listApiKeys(request)).getApiKeysList();
  }

  /** Revokes a key; calls with it are refused from then on. */
  public ApiKey revokeApiKey(String keyId) {
    RevokeApiKeyRequest request = RevokeApiKeyRequest.newBuilder().setKeyId(keyId).build();
    return calls.once(admin, s -> s.revokeApiKey(request)).getApiKey();
  }

  /** Says what a sandbox would cost and what its creation would hold, before there is one. */
  public EstimateCostResponse estimateCost(EstimateCostRequest request) {
    return calls.repeatable(pricing, s -> s.estimateCost(request));
  }

  /**
   * Recomputes the books of all tenants and returns each row that is not as it must be, at most
   * 1,000; none when they are sound. Reads everything, so it may take long.
   */
  public List<InvariantViolation> checkInvariants() {
    CheckInvariantsRequest request = CheckInvariantsRequest.getDefaultInstance();
    return calls.repeatable(admin, s -> s.checkInvariants(request)).getViolationsList();
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

  private static ExecuteRequest repeatable(ExecuteRequest request) {
    return request.getRequestId().isEmpty()
        ? request.toBuilder().setRequestId(newRequestId()).build()
        : request;
  }

  private static String newRequestId() {
    return UUID.randomUUID().toString();
  }
}
