package dev.sandkeeper.server.telemetry;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.MDC;

/** The steps of a call as spans below its own, without knowing OpenTelemetry. */
public final class Spans {
  private final OpenTelemetry openTelemetry;
  private final Tracer tracer;

  Spans(OpenTelemetry openTelemetry) {
    this.openTelemetry = openTelemetry;
    this.tracer = openTelemetry.getTracer(TelemetryNames.SCOPE);
  }

  /** Returns spans that lead nowhere. */
  public static Spans none() {
    return new Spans(OpenTelemetry.noop());
  }

  /**
   * Does some work as a step of what this thread is doing.
   *
   * @param name the step, such as {@code ledger.admit}; one of few
   * @param attributes what is worth knowing of it; never code, output or a secret
   */
  public <T> T call(String name, Map<String, String> attributes, Supplier<T> work) {
    Span span = tracer.spanBuilder(name).startSpan();
    attributes.forEach(span::setAttribute);
    try (Scope _ = span.makeCurrent()) {
      return work.get();
    } catch (RuntimeException | Error e) {
      span.setStatus(StatusCode.ERROR);
      span.setAttribute(TelemetryNames.SPAN_ERROR_TYPE, e.getClass().getName());
      throw e;
    } finally {
      span.end();
    }
  }

  /** Does some work that returns nothing; otherwise as {@link #call}. */
  public void run(String name, Map<String, String> attributes, Runnable work) {
    call(
        name,
        attributes,
        () -> {
          work.run();
          return Boolean.TRUE;
        });
  }

  /**
   * Returns the present step in the form of the W3C's trace context, for a program's environment
   * variable TRACEPARENT; empty outside a call.
   */
  public Optional<String> traceparent() {
    Map<String, String> headers = new HashMap<>();
    openTelemetry
        .getPropagators()
        .getTextMapPropagator()
        .inject(
            Context.current(),
            headers,
            (@Nullable Map<String, String> carrier, String key, String value) -> {
              if (carrier != null) {
                carrier.put(key, value);
              }
            });
    return Optional.ofNullable(headers.get("traceparent"));
  }

  /** Returns the work for another thread, there belonging to the same call as here. */
  public static Runnable carrying(Runnable work) {
    return carrying(work, Context.current(), mdc());
  }

  /** Returns the executor with all work given to it belonging to the same call as here and now. */
  public static Executor carrying(Executor executor) {
    Context context = Context.current();
    Map<String, String> mdc = mdc();
    return work -> executor.execute(carrying(work, context, mdc));
  }

  private static Map<String, String> mdc() {
    return Optional.ofNullable(MDC.getCopyOfContextMap()).orElse(Map.of());
  }

  private static Runnable carrying(Runnable work, Context context, Map<String, String> mdc) {
    return context.wrap(() -> {
      MDC.setContextMap(mdc);
      try {
        work.run();
      } finally {
        MDC.clear();
      }
    });
  }
}
