package dev.sandkeeper.server.telemetry;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.propagation.ContextPropagators;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.prometheus.PrometheusMetricReader;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.SdkMeterProviderBuilder;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.SdkTracerProviderBuilder;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.prometheus.metrics.config.EscapingScheme;
import io.prometheus.metrics.expositionformats.PrometheusTextFormatWriter;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.TimeUnit;

/**
 * OpenTelemetry, set up once: metrics to look at as Prometheus text, and metrics and spans sent to
 * a collector where one is configured. Spans are made without a collector too, for the ids in the
 * logs.
 */
public final class Telemetry implements AutoCloseable {
  /** The media type of {@link #scrape}. */
  public static final String SCRAPE_CONTENT_TYPE = PrometheusTextFormatWriter.CONTENT_TYPE;

  private static final long SHUTDOWN_SECONDS = 5;

  private final OpenTelemetrySdk sdk;
  private final PrometheusMetricReader prometheus;
  private final PrometheusTextFormatWriter writer = PrometheusTextFormatWriter.create();
  private final Instruments instruments;
  private final EngineInstruments engines;
  private final Spans spans;
  private final RpcTelemetry rpcTelemetry;
  private final HttpTelemetry httpTelemetry;

  private Telemetry(OpenTelemetrySdk sdk, PrometheusMetricReader prometheus) {
    this.sdk = sdk;
    this.prometheus = prometheus;
    this.instruments = new Instruments(sdk);
    this.engines = new EngineInstruments(sdk);
    this.spans = new Spans(sdk);
    this.rpcTelemetry = new RpcTelemetry(sdk, instruments);
    this.httpTelemetry = new HttpTelemetry(sdk, instruments);
  }

  /** Sets everything up. A collector that is away is tried again, and delays nothing. */
  public static Telemetry start(TelemetrySettings settings) {
    Resource resource =
        Resource.getDefault()
            .merge(
                Resource.create(
                    Attributes.of(
                        AttributeKey.stringKey("service.name"),
                        "sandkeeper",
                        AttributeKey.stringKey("service.instance.id"),
                        settings.nodeId())));
    PrometheusMetricReader prometheus =
        PrometheusMetricReader.builder().setOtelScopeLabelsEnabled(false).build();
    SdkMeterProviderBuilder meters =
        SdkMeterProvider.builder().setResource(resource).registerMetricReader(prometheus);
    SdkTracerProviderBuilder tracers = SdkTracerProvider.builder().setResource(resource);
    settings
        .otlpEndpoint()
        .ifPresent(endpoint -> {
          String base = endpoint.toString().replaceAll("/+$", "");
          meters.registerMetricReader(
              PeriodicMetricReader.builder(
                      OtlpHttpMetricExporter.builder().setEndpoint(base + "/v1/metrics").build())
                  .setInterval(settings.exportInterval())
                  .build());
          tracers.addSpanProcessor(
              BatchSpanProcessor.builder(
                      OtlpHttpSpanExporter.builder().setEndpoint(base + "/v1/traces").build())
                  .build());
        });
    OpenTelemetrySdk sdk =
        OpenTelemetrySdk.builder()
            .setMeterProvider(meters.build())
            .setTracerProvider(tracers.build())
            .setPropagators(ContextPropagators.create(W3CTraceContextPropagator.getInstance()))
            .build();
    return new Telemetry(sdk, prometheus);
  }

  /** Returns the metrics that the rooms feed. */
  public Instruments instruments() {
    return instruments;
  }

  /** Returns the metrics of the engines. */
  public EngineInstruments engines() {
    return engines;
  }

  /** Returns the spans that the rooms make. */
  public Spans spans() {
    return spans;
  }

  /** Returns what gives each call its span; the outermost of the interceptors. */
  public RpcTelemetry rpcTelemetry() {
    return rpcTelemetry;
  }

  /** Returns what gives each HTTP call that is no gRPC call its span. */
  public HttpTelemetry httpTelemetry() {
    return httpTelemetry;
  }

  /** Returns all metrics as Prometheus text. Asks the gauges' sources, so it may block. */
  public byte[] scrape() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try {
      writer.write(text, prometheus.collect(), EscapingScheme.UNDERSCORE_ESCAPING);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return text.toByteArray();
  }

  /** Sends what is left, for a few seconds at most. */
  @Override
  public void close() {
    sdk.shutdown().join(SHUTDOWN_SECONDS, TimeUnit.SECONDS);
  }
}
