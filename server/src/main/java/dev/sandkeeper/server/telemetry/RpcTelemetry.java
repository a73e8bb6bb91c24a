package dev.sandkeeper.server.telemetry;

import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.MDC;

/**
 * Gives each call a span, below the caller's where it sent a W3C trace context, and its log lines
 * the trace's id. As an interceptor it sees the status of calls that came as JSON too.
 *
 * <p>Attributes and what counts as the server's error are those of OpenTelemetry's semantic
 * conventions for gRPC.
 */
public final class RpcTelemetry implements ServerInterceptor {
  private static final Set<Status.Code> SERVER_ERRORS =
      EnumSet.of(
          Status.Code.UNKNOWN,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.UNIMPLEMENTED,
          Status.Code.INTERNAL,
          Status.Code.UNAVAILABLE,
          Status.Code.DATA_LOSS);
  private static final TextMapGetter<Metadata> HEADERS = new MetadataGetter();

  private final OpenTelemetry openTelemetry;
  private final Tracer tracer;
  private final Instruments instruments;

  RpcTelemetry(OpenTelemetry openTelemetry, Instruments instruments) {
    this.openTelemetry = openTelemetry;
    this.tracer = openTelemetry.getTracer(TelemetryNames.SCOPE);
    this.instruments = instruments;
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    String method = call.getMethodDescriptor().getFullMethodName();
    Span span = start(call, headers, method);
    Context context = Context.current().with(span);
    TracedCall<Q, A> traced = new TracedCall<>(call, span, method);
    try (Scope _ = context.makeCurrent();
        MDC.MDCCloseable _ = MDC.putCloseable(LogKeys.TRACE_ID, traceId(span))) {
      return new TracedListener<>(next.startCall(traced, headers), traced, context);
    } catch (RuntimeException | Error e) {
      traced.end(Status.INTERNAL);
      throw e;
    }
  }

  private Span start(ServerCall<?, ?> call, Metadata headers, String method) {
    Context parent =
        openTelemetry
            .getPropagators()
            .getTextMapPropagator()
            .extract(Context.root(), headers, HEADERS);
    String service = call.getMethodDescriptor().getServiceName();
    String bareMethod = call.getMethodDescriptor().getBareMethodName();
    return tracer
        .spanBuilder(method)
        .setParent(parent)
        .setSpanKind(SpanKind.SERVER)
        .setAttribute(TelemetryNames.RPC_SYSTEM, "grpc")
        .setAttribute(TelemetryNames.RPC_SERVICE, service == null ? "" : service)
        .setAttribute(TelemetryNames.RPC_METHOD, bareMethod == null ? "" : bareMethod)
        .startSpan();
  }

  private static String traceId(Span span) {
    return span.getSpanContext().getTraceId();
  }

  /** Sees how the call ends, whichever of the two sides ends it. */
  private final class TracedCall<Q, A> extends SimpleForwardingServerCall<Q, A> {
    private final Span span;
    private final String method;
    private final AtomicBoolean ended = new AtomicBoolean();

    TracedCall(ServerCall<Q, A> delegate, Span span, String method) {
      super(delegate);
      this.span = span;
      this.method = method;
    }

    @Override
    public void close(Status status, Metadata trailers) {
      end(status);
      super.close(status, trailers);
    }

    void end(Status status) {
      if (!ended.compareAndSet(false, true)) {
        return;
      }
      span.setAttribute(TelemetryNames.RPC_GRPC_STATUS_CODE, (long) status.getCode().value());
      if (!status.isOk()) {
        instruments.error(method, status.getCode().name());
        span.setAttribute(TelemetryNames.SPAN_ERROR_TYPE, status.getCode().name());
      }
      if (SERVER_ERRORS.contains(status.getCode())) {
        span.setStatus(StatusCode.ERROR);
      }
      span.end();
    }
  }

  /** Makes the span and the trace's id present wherever the call's code runs. */
  private static final class TracedListener<Q> extends SimpleForwardingServerCallListener<Q> {
    private final RpcTelemetry.TracedCall<Q, ?> call;
    private final Context context;

    TracedListener(
        ServerCall.Listener<Q> delegate, RpcTelemetry.TracedCall<Q, ?> call, Context context) {
      super(delegate);
      this.call = call;
      this.context = context;
    }

    @Override
    public void onMessage(Q message) {
      inCall(() -> super.onMessage(message));
    }

    @Override
    public void onHalfClose() {
      inCall(super::onHalfClose);
    }

    @Override
    public void onCancel() {
      inCall(super::onCancel);
      call.end(Status.CANCELLED);
    }

    @Override
    public void onComplete() {
      inCall(super::onComplete);
    }

    @Override
    public void onReady() {
      inCall(super::onReady);
    }

    private void inCall(Runnable work) {
      try (Scope _ = context.makeCurrent();
          MDC.MDCCloseable _ = MDC.putCloseable(LogKeys.TRACE_ID, traceId(call.span))) {
        work.run();
      }
    }
  }

  private static final class MetadataGetter implements TextMapGetter<Metadata> {
    @Override
    public Iterable<String> keys(Metadata headers) {
      return headers.keys();
    }

    @Override
    public @Nullable String get(@Nullable Metadata headers, String key) {
      return headers == null
          ? null
          : headers.get(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER));
    }
  }
}
