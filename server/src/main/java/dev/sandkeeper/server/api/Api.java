package dev.sandkeeper.server.api;

import com.google.protobuf.util.JsonFormat;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.grpc.GrpcJsonMarshaller;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServerBuilder;
import com.linecorp.armeria.server.docs.DocService;
import com.linecorp.armeria.server.grpc.GrpcService;
import com.linecorp.armeria.server.grpc.HttpJsonTranscodingOptions;
import com.linecorp.armeria.server.healthcheck.HealthCheckService;
import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.alert.Webhooks;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.execution.Contexts;
import dev.sandkeeper.server.execution.ExecutionInputs;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.execution.OneOffRuns;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.server.execution.TaskRunner;
import dev.sandkeeper.server.execution.TestRunner;
import dev.sandkeeper.server.ledger.Adjustments;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.Limits;
import dev.sandkeeper.server.ledger.LlmSpend;
import dev.sandkeeper.server.ledger.ModelPrices;
import dev.sandkeeper.server.ledger.Prices;
import dev.sandkeeper.server.ledger.ReconciliationRepository;
import dev.sandkeeper.server.port.Ports;
import dev.sandkeeper.server.sandbox.CostEstimator;
import dev.sandkeeper.server.sandbox.EngineStatuses;
import dev.sandkeeper.server.sandbox.SandboxCreator;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.server.sandbox.Templates;
import dev.sandkeeper.server.secret.Secrets;
import dev.sandkeeper.server.telemetry.MetricsService;
import dev.sandkeeper.server.telemetry.Telemetry;
import dev.sandkeeper.v1.FileServiceGrpc;
import io.grpc.BindableService;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import java.util.List;

/**
 * The whole contract as gRPC services, and beside them health, reflection, the docs page and the
 * metrics.
 */
public final class Api {
  /**
   * Protobuf's own mapping. Armeria's default one writes a class for each message of the contract,
   * which takes a second of each start.
   */
  private static final GrpcJsonMarshaller JSON =
      GrpcJsonMarshaller.builderForGson()
          // A misspelt field must not be taken for an absent one.
          .jsonParserCustomizer((JsonFormat.Parser _) -> JsonFormat.parser())
          .build();

  private final List<BindableService> services;
  private final Calls calls;
  private final Telemetry telemetry;
  private final int maxMessageBytes;
  private final boolean showsMetrics;

  /**
   * Makes the services over the domain.
   *
   * @param maxMessageBytes the largest request message
   * @param showsMetrics whether /metrics answers, to admin keys
   */
  public Api(
      Calls calls,
      EventStream events,
      OpenStreams openStreams,
      ApiKeys apiKeys,
      SandboxCreator creator,
      Sandboxes sandboxes,
      Templates templates,
      EngineStatuses engines,
      Executions executions,
      ExecutionInputs inputs,
      OneOffRuns oneOffRuns,
      TaskRunner taskRunner,
      SandboxFiles files,
      Contexts contexts,
      Ports ports,
      Prices prices,
      ModelPrices modelPrices,
      CostEstimator estimator,
      Limits limits,
      LlmSpend llmSpend,
      CostRepository costs,
      Adjustments adjustments,
      ReconciliationRepository reconciliations,
      Ledger ledger,
      Webhooks webhooks,
      Secrets secrets,
      AuditLog auditLog,
      Transactions transactions,
      BillingClock clock,
      Telemetry telemetry,
      int maxMessageBytes,
      boolean showsMetrics) {
    this.telemetry = telemetry;
    this.maxMessageBytes = maxMessageBytes;
    this.showsMetrics = showsMetrics;
    this.calls = calls;
    this.services =
        List.of(
            new SandboxApi(
                calls, creator, sandboxes, costs, executions, oneOffRuns, events, ports, clock),
            new ExecutionApi(
                calls, executions, inputs, taskRunner, new TestRunner(taskRunner), openStreams),
            new FileApi(calls, files, openStreams),
            new ContextApi(calls, contexts),
            new TemplateApi(calls, templates),
            new EngineApi(calls, engines, reconciliations),
            new PricingApi(calls, transactions, prices, modelPrices, estimator, auditLog, clock),
            new QuotaApi(calls, transactions, limits, llmSpend, auditLog, clock),
            new CostApi(calls, costs, llmSpend, adjustments, transactions, auditLog, clock),
            new WebhookApi(calls, webhooks),
            new SecretApi(calls, secrets),
            new AuditApi(calls, auditLog),
            new AdminApi(calls, apiKeys, ledger));
  }

  /** Says whether a request brings a file, which its caller must show the key for first. */
  public static boolean isUpload(RequestHeaders request) {
    return request.path().equals("/" + FileServiceGrpc.getWriteFileMethod().getFullMethodName())
        || request.method() == HttpMethod.PUT;
  }

  /**
   * Returns the services, with those unary calls that the contract binds to a path as JSON too.
   *
   * @param json how JSON is answered
   */
  public GrpcService grpc(HttpJsonTranscodingOptions json) {
    return GrpcService.builder()
        .addServices(services)
        .addService(ProtoReflectionServiceV1.newInstance())
        .enableHealthCheckService(true)
        .enableHttpJsonTranscoding(json)
        .jsonMarshallerFactory(_ -> JSON)
        .exceptionHandler(new ErrorMapper())
        .maxRequestMessageLength(maxMessageBytes)
        .intercept(telemetry.rpcTelemetry())
        .useBlockingTaskExecutor(true)
        .build();
  }

  /** Adds what is no call of the contract to the server that is being built. */
  public void addTo(ServerBuilder server) {
    server.service("/health", HealthCheckService.of());
    server.serviceUnder("/docs", docs());
    if (showsMetrics) {
      server.service("/metrics", new MetricsService(telemetry).decorate(new AdminOnly(calls)));
    }
  }

  private static HttpService docs() {
    return ExampleRequests.addTo(DocService.builder()).build();
  }
}
