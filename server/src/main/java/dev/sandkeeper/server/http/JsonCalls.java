package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.AggregatedHttpRequest;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.ContentTooLargeException;
import com.linecorp.armeria.common.ExchangeType;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.server.HttpServiceWithRoutes;
import com.linecorp.armeria.server.Route;
import com.linecorp.armeria.server.RoutingContext;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.SimpleDecoratingHttpService;
import com.linecorp.armeria.server.grpc.GrpcService;
import dev.sandkeeper.server.base.SandkeeperException;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.stream.Collectors;

/**
 * Unary calls as JSON: holds requests to the contract before Armeria turns them into calls, and
 * gives the answers the status that HTTP has for them.
 */
final class JsonCalls extends SimpleDecoratingHttpService implements HttpServiceWithRoutes {
  private final List<Bound> bindings;
  private final Set<Route> routes;
  private final int maxBodyBytes;

  private record Bound(Binding binding, Endpoint endpoint) {}

  /**
   * Makes the face of the services' bindings.
   *
   * @param grpc the services, with transcoding
   * @param bindings where HTTP finds them
   * @param maxBodyBytes the largest body
   */
  JsonCalls(GrpcService grpc, List<Binding> bindings, int maxBodyBytes) {
    super(grpc);
    this.bindings =
        bindings.stream().map(binding -> new Bound(binding, binding.endpoint())).toList();
    this.routes =
        grpc.routes().stream()
            .filter(route -> !grpc.methodsByRoute().containsKey(route))
            .collect(Collectors.toUnmodifiableSet());
    this.maxBodyBytes = maxBodyBytes;
  }

  @Override
  public Set<Route> routes() {
    return routes;
  }

  /** The body is read here, within its bound, and not before. */
  @Override
  public ExchangeType exchangeType(RoutingContext routingContext) {
    return ExchangeType.REQUEST_STREAMING;
  }

  @Override
  public HttpResponse serve(ServiceRequestContext context, HttpRequest request) {
    Binding binding = binding(context);
    GrpcHeaders.checkTimeout(request.headers());
    GrpcHeaders.checkNoEncoding(request.headers());
    QueryCheck.check(binding, context.queryParams());
    if (request.headers().contentLength() > maxBodyBytes) {
      throw ContentTooLargeException.builder().maxContentLength(maxBodyBytes).build();
    }
    context.setMaxRequestLength(maxBodyBytes);
    return HttpResponse.of(
        request
            .aggregate()
            .thenCompose(body -> call(context, binding, body).aggregate())
            .thenApply(answer -> finish(binding, answer)));
  }

  private Binding binding(ServiceRequestContext context) {
    return bindings.stream()
        .filter(bound -> bound.binding().httpMethod() == context.method())
        .filter(bound -> bound.endpoint().isAt(context.mappedPath()))
        .findFirst()
        .orElseThrow(() -> wrongMethod(context))
        .binding();
  }

  /** Refuses HEAD, which Armeria takes for GET. */
  private HttpFailure wrongMethod(ServiceRequestContext context) {
    String allowed =
        bindings.stream()
            .filter(bound -> bound.endpoint().isAt(context.mappedPath()))
            .map(bound -> bound.binding().httpMethod().name())
            .collect(Collectors.joining(", "));
    return new HttpFailure(
        HttpStatus.METHOD_NOT_ALLOWED,
        "This path has no " + context.method() + ".",
        HttpHeaders.of(HttpHeaderNames.ALLOW, allowed));
  }

  private HttpResponse call(
      ServiceRequestContext context, Binding binding, AggregatedHttpRequest request) {
    if (binding.hasBody()) {
      requireJson(request);
    } else if (!request.content().isEmpty()) {
      throw SandkeeperException.invalidField("body", "given (expected: none in this call)");
    }
    try {
      return unwrap().serve(context, request.toHttpRequest());
    } catch (Exception e) {
      throw new CompletionException(e);
    }
  }

  /**
   * Checks that a request carries JSON.
   *
   * @throws HttpFailure when it says that it carries something else
   * @throws SandkeeperException when its body is no JSON object
   */
  static void requireJson(AggregatedHttpRequest request) {
    MediaType type = request.contentType();
    if (type == null || !type.isJson()) {
      throw new HttpFailure(
          HttpStatus.UNSUPPORTED_MEDIA_TYPE,
          "The body must be JSON, with the header content-type: application/json.");
    }
    ProtoJson.requireObject(request.content().array());
  }

  private static HttpResponse finish(Binding binding, AggregatedHttpResponse answer) {
    if (!answer.status().equals(HttpStatus.OK)) {
      return answer.toHttpResponse();
    }
    HttpStatus status = binding.success();
    ResponseHeaders headers =
        ResponseHeaders.builder(status).set(HttpHeaderNames.CACHE_CONTROL, "no-store").build();
    return status.isContentAlwaysEmpty()
        ? HttpResponse.of(headers)
        : HttpResponse.of(
            headers.toBuilder().contentType(MediaType.JSON_UTF_8).build(),
            HttpData.wrap(answer.content().array()));
  }
}
