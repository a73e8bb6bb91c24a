package dev.sandkeeper.server.telemetry;

import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.logging.RequestLog;
import com.linecorp.armeria.server.DecoratingHttpServiceFunction;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServiceRequestContext;
import io.netty.util.AsciiString;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import org.jspecify.annotations.Nullable;
import org.slf4j.MDC;

/**
 * Gives each HTTP call that is no gRPC call inside what {@link RpcTelemetry} gives those: a span
 * below the caller's, the trace's id in its log lines, and a count of failures.
 *
 * <p>Attributes and what counts as the server's error are those of OpenTelemetry's semantic
 * conventions for HTTP servers.
 */
public final class HttpTelemetry {
  private static final int FIRST_ERROR = 400;
  private static final int FIRST_SERVER_ERROR = 500;
  private static final TextMapGetter<RequestHeaders> HEADERS = new HeadersGetter();

  private final OpenTelemetry openTelemetry;
  private final Tracer tracer;
  private final Instruments instruments;

  HttpTelemetry(OpenTelemetry openTelemetry, Instruments instruments) {
    this.openTelemetry = openTelemetry;
    this.tracer = openTelemetry.getTracer(TelemetryNames.SCOPE);
    this.instruments = instruments;
  }

  /**
   * Returns what watches the calls of one route.
   *
   * @param route its path with {@code {names}} for what varies
   */
  public DecoratingHttpServiceFunction of(String route) {
    return (delegate, context, request) -> serve(route, delegate, context, request);
  }

  private HttpResponse serve(
      String route, HttpService delegate, ServiceRequestContext context, HttpRequest request)
      throws Exception {
    String operation = context.method() + " " + route;
    Context parent =
        openTelemetry
            .getPropagators()
            .getTextMapPropagator()
            .extract(Context.root(), request.headers(), HEADERS);
    Span span =
        tracer
            .spanBuilder(operation)
            .setParent(parent)
            .setSpanKind(SpanKind.SERVER)
            .setAttribute(TelemetryNames.HTTP_REQUEST_METHOD, context.method().name())
            .setAttribute(TelemetryNames.HTTP_ROUTE, route)
            .startSpan();
    var _ = context.log().whenComplete().thenAccept(log -> end(operation, span, log));
    try (Scope _ = parent.with(span).makeCurrent();
        MDC.MDCCloseable _ =
            MDC.putCloseable(LogKeys.TRACE_ID, span.getSpanContext().getTraceId())) {
      return delegate.serve(context, request);
    }
  }

  private void end(String operation, Span span, RequestLog log) {
    int status = log.responseStatus().code();
    span.setAttribute(TelemetryNames.HTTP_RESPONSE_STATUS_CODE, (long) status);
    if (status >= FIRST_ERROR) {
      String type = Integer.toString(status);
      instruments.error(operation, type);
      span.setAttribute(TelemetryNames.SPAN_ERROR_TYPE, type);
    }
    if (status >= FIRST_SERVER_ERROR) {
      span.setStatus(StatusCode.ERROR);
    }
    span.end();
  }

  private static final class HeadersGetter implements TextMapGetter<RequestHeaders> {
    @Override
    public Iterable<String> keys(RequestHeaders headers) {
      return headers.names().stream().map(AsciiString::toString).toList();
    }

    @Override
    public @Nullable String get(@Nullable RequestHeaders headers, String key) {
      return headers == null ? null : headers.get(key);
    }
  }
}
