package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServerBuilder;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.grpc.GrpcService;
import com.linecorp.armeria.server.grpc.HttpJsonTranscodingOptions;
import com.linecorp.armeria.server.grpc.HttpJsonTranscodingQueryParamMatchRule;
import dev.sandkeeper.server.api.Api;
import dev.sandkeeper.server.api.Calls;
import dev.sandkeeper.server.api.EventStream;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.telemetry.HttpTelemetry;
import dev.sandkeeper.server.telemetry.Spans;
import io.grpc.protobuf.ProtoServiceDescriptorSupplier;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.BiFunction;

/** The contract for those who speak HTTP without gRPC, on the same port. */
public final class HttpFace {
  /** Where all of it is found a second time: the path that older callers use. */
  private static final String ALIAS = "/api";

  private final Api api;
  private final ExecutionRoutes executions;
  private final HttpTelemetry telemetry;
  private final int maxBodyBytes;

  /**
   * Makes the face.
   *
   * @param maxBodyBytes the largest JSON body
   */
  public HttpFace(
      Api api,
      Calls calls,
      EventStream events,
      Executions executions,
      HttpTelemetry telemetry,
      int maxBodyBytes) {
    this.api = api;
    this.executions = new ExecutionRoutes(calls, executions, events);
    this.telemetry = telemetry;
    this.maxBodyBytes = maxBodyBytes;
  }

  /** Adds gRPC and everything of HTTP to the server that is being built. */
  public void addTo(ServerBuilder server) {
    HttpErrors errors = new HttpErrors();
    server.errorHandler(errors);
    GrpcService grpc =
        api.grpc(
            HttpJsonTranscodingOptions.builder()
                .queryParamMatchRules(
                    HttpJsonTranscodingQueryParamMatchRule.ORIGINAL_FIELD,
                    HttpJsonTranscodingQueryParamMatchRule.LOWER_CAMEL_CASE)
                .errorHandler(errors)
                .build());
    JsonCalls json = new JsonCalls(grpc, bindings(grpc), maxBodyBytes);
    server.service(new GrpcCalls(grpc));
    server.service(json);
    server.serviceUnder(ALIAS, json);
    route(
        server,
        HttpMethod.POST,
        "/v1/sandboxes/{sandbox_id}/execute",
        maxBodyBytes,
        (context, request) -> {
          Executor executor = Spans.carrying(context.blockingTaskExecutor());
          return HttpResponse.of(
              request
                  .aggregate()
                  .thenApplyAsync(body -> executions.execute(context, body), executor));
        });
    route(
        server,
        HttpMethod.GET,
        "/v1/executions/{execution_id}/events",
        maxBodyBytes,
        blocking((context, request) -> executions.attach(context, request.headers())));
  }

  private void route(
      ServerBuilder server, HttpMethod method, String path, long maxBytes, HttpService service) {
    server
        .route()
        .methods(method)
        .path(path)
        .path(ALIAS + path)
        .maxRequestLength(maxBytes)
        .build(service.decorate(telemetry.of(path)));
  }

  /** Keeps work that waits away from the event loops. */
  private static HttpService blocking(
      BiFunction<ServiceRequestContext, HttpRequest, HttpResponse> work) {
    return (context, request) ->
        HttpResponse.of(
            CompletableFuture.supplyAsync(
                () -> work.apply(context, request),
                Spans.carrying(context.blockingTaskExecutor())));
  }

  private static List<Binding> bindings(GrpcService grpc) {
    return grpc.services().stream()
        .map(service -> service.getServiceDescriptor().getSchemaDescriptor())
        .map(ProtoServiceDescriptorSupplier.class::cast)
        .flatMap(schema -> Binding.of(schema.getServiceDescriptor()))
        .toList();
  }
}
