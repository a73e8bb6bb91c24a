package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServerBuilder;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.cors.CorsService;
import com.linecorp.armeria.server.grpc.GrpcService;
import com.linecorp.armeria.server.grpc.HttpJsonTranscodingOptions;
import com.linecorp.armeria.server.grpc.HttpJsonTranscodingQueryParamMatchRule;
import dev.sandkeeper.server.api.Api;
import dev.sandkeeper.server.api.Calls;
import dev.sandkeeper.server.api.EventStream;
import dev.sandkeeper.server.api.OpenStreams;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.server.port.Ports;
import dev.sandkeeper.server.telemetry.HttpTelemetry;
import dev.sandkeeper.server.telemetry.Spans;
import io.grpc.protobuf.ProtoServiceDescriptorSupplier;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.BiFunction;
import java.util.function.Function;

/** The contract for those who speak HTTP without gRPC, on the same port. */
public final class HttpFace {
  /** Where all of it is found a second time: the path that older callers use. */
  private static final String ALIAS = "/api";

  private static final String ANY_PATH = "regex:(?s).*";
  private static final long PREFLIGHT_SECONDS = 600;
  static final String EXECUTE_PATH = "/v1/sandboxes/{sandbox_id}/execute";
  static final String EVENTS_PATH = "/v1/executions/{execution_id}/events";
  static final List<String> FILE_PATHS =
      List.of("/v1/sandboxes/{sandbox_id}/files/{*path}", "/v1/sandboxes/{sandbox_id}/files");

  private final Api api;
  private final ExecutionRoutes executions;
  private final FileRoutes files;
  private final Ports ports;
  private final PortRoutes portRoutes;
  private final HttpTelemetry telemetry;
  private final int maxBodyBytes;
  private final List<String> allowedOrigins;

  /**
   * Makes the face.
   *
   * @param maxBodyBytes the largest JSON body
   * @param allowedOrigins the web origins whose pages may call, or {@code *}; empty for none
   */
  public HttpFace(
      Api api,
      Calls calls,
      EventStream events,
      Executions executions,
      SandboxFiles files,
      Ports ports,
      OpenStreams openStreams,
      BillingClock clock,
      HttpTelemetry telemetry,
      int maxBodyBytes,
      List<String> allowedOrigins) {
    this.api = api;
    this.executions = new ExecutionRoutes(calls, executions, events);
    this.files = new FileRoutes(calls, files);
    this.ports = ports;
    this.portRoutes = new PortRoutes(new PortGate(calls, ports), ports, openStreams, clock);
    this.telemetry = telemetry;
    this.maxBodyBytes = maxBodyBytes;
    this.allowedOrigins = List.copyOf(allowedOrigins);
  }

  /** Adds gRPC and everything of HTTP to the server that is being built. */
  public void addTo(ServerBuilder server) {
    // Armeria gathers a whole unary request before anything looks at it. Twice the largest message:
    // one that is a little too large is refused by those who know its fields.
    server.maxRequestLength(2L * maxBodyBytes);
    GrpcService grpc =
        api.grpc(
            HttpJsonTranscodingOptions.builder()
                .queryParamMatchRules(
                    HttpJsonTranscodingQueryParamMatchRule.ORIGINAL_FIELD,
                    HttpJsonTranscodingQueryParamMatchRule.LOWER_CAMEL_CASE)
                .errorHandler(new HttpErrors(List.of()))
                .build());
    List<Binding> bindings = bindings(grpc);
    server.errorHandler(new HttpErrors(endpoints(bindings)));
    JsonCalls json = new JsonCalls(grpc, bindings, maxBodyBytes);
    server.service(new GrpcCalls(grpc));
    server.service(json);
    server.serviceUnder(ALIAS, json);
    server.service("/openapi.json", new OpenApiService(bindings));
    route(
        server,
        HttpMethod.POST,
        EXECUTE_PATH,
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
        EVENTS_PATH,
        maxBodyBytes,
        blocking((context, request) -> executions.attach(context, request.headers())));
    addFiles(server);
    addPorts(server);
    if (!allowedOrigins.isEmpty()) {
      Function<? super HttpService, CorsService> cors = cors();
      server.decorator(
          delegate -> delegate.as(PortRoutes.class) == null ? cors.apply(delegate) : delegate);
    }
  }

  /** Says whether a request is one for a port of a sandbox. */
  public boolean isForPort(RequestHeaders headers) {
    return portRoutes.isFor(headers);
  }

  /** Adds the ports of sandboxes, by path and by host; of every method. */
  private void addPorts(ServerBuilder server) {
    HttpService service = portRoutes.decorate(telemetry.of(PortRoutes.PATH));
    for (String root : List.of("", ALIAS)) {
      for (String end : List.of("", "/{*rest}", "/")) {
        server.route().path(root + PortRoutes.PATH + end).maxRequestLength(0).build(service);
      }
    }
    // A host has the API's routes as well, behind its own. Of those that Armeria finds at once, a
    // longer path of the API would come before a shorter one here; by a pattern it looks on its
    // own.
    ports
        .url()
        .ifPresent(url ->
            server
                .virtualHost("*." + url.domain())
                .route()
                .path(ANY_PATH)
                .maxRequestLength(0)
                .build(service));
  }

  /** Lets pages of other origins call, and read what gRPC-Web and this face say in headers. */
  private Function<? super HttpService, CorsService> cors() {
    return CorsService.builder(allowedOrigins)
        .allowRequestMethods(
            HttpMethod.GET, HttpMethod.HEAD, HttpMethod.POST, HttpMethod.PUT, HttpMethod.DELETE)
        .allowAllRequestHeaders(true) // metadata of gRPC may have any name
        .exposeHeaders(
            "grpc-status",
            "grpc-message",
            "grpc-status-details-bin",
            "retry-after",
            "content-range",
            "accept-ranges",
            "content-length")
        .maxAge(PREFLIGHT_SECONDS)
        .newDecorator();
  }

  private void addFiles(ServerBuilder server) {
    for (String path : FILE_PATHS) {
      // An upload has the bound of files, which is kept where files are.
      route(server, HttpMethod.PUT, path, 0, blocking(files::put));
      route(server, HttpMethod.GET, path, maxBodyBytes, blocking(files::get));
      route(
          server,
          HttpMethod.HEAD,
          path,
          maxBodyBytes,
          blocking((context, _) -> files.head(context)));
    }
  }

  private static List<Endpoint> endpoints(List<Binding> bindings) {
    List<Endpoint> endpoints = new ArrayList<>();
    for (String root : List.of("", ALIAS)) {
      bindings.forEach(
          binding -> endpoints.add(Endpoint.of(binding.httpMethod(), root + binding.template())));
      endpoints.add(Endpoint.of(HttpMethod.POST, root + EXECUTE_PATH));
      endpoints.add(Endpoint.of(HttpMethod.GET, root + EVENTS_PATH));
      for (String path : FILE_PATHS) {
        for (HttpMethod method : List.of(HttpMethod.GET, HttpMethod.HEAD, HttpMethod.PUT)) {
          endpoints.add(Endpoint.of(method, root + path));
        }
      }
    }
    return endpoints;
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
