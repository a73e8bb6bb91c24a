package dev.sandkeeper.server.telemetry;

import static io.opentelemetry.sdk.testing.assertj.OpenTelemetryAssertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerInterceptors;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.sdk.testing.junit5.OpenTelemetryExtension;
import io.opentelemetry.sdk.trace.data.StatusData;
import java.io.IOException;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.slf4j.MDC;

// Goal: one span for each call, in the caller's trace, with the call's status; and the trace's id
// on
// the log lines of whatever thread does the call's work.
final class RpcTelemetryTest {
  private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";

  @RegisterExtension
  static final OpenTelemetryExtension openTelemetry = OpenTelemetryExtension.create();

  private final Spans spans = new Spans(openTelemetry.getOpenTelemetry());
  private final Health health = new Health();
  private final String name = InProcessServerBuilder.generateName();
  private Server server;
  private ManagedChannel channel;

  @BeforeEach
  void start() throws IOException {
    RpcTelemetry telemetry =
        new RpcTelemetry(
            openTelemetry.getOpenTelemetry(), new Instruments(openTelemetry.getOpenTelemetry()));
    server =
        InProcessServerBuilder.forName(name)
            .addService(ServerInterceptors.intercept(health, telemetry))
            .build()
            .start();
    channel = InProcessChannelBuilder.forName(name).build();
  }

  @AfterEach
  void stop() {
    channel.shutdownNow();
    server.shutdownNow();
  }

  @Test
  void callIsOneSpanInTheCallersTrace() {
    check("good", "00-" + TRACE + "-b7ad6b7169203331-01");

    Awaitility.await().until(() -> openTelemetry.getSpans().size() == 2);
    openTelemetry
        .assertTraces()
        .hasTracesSatisfyingExactly(trace ->
            trace.hasSpansSatisfyingExactly(
                span ->
                    span.hasName("grpc.health.v1.Health/Check")
                        .hasTraceId(TRACE)
                        .hasParentSpanId("b7ad6b7169203331")
                        .hasKind(SpanKind.SERVER)
                        .hasStatus(StatusData.unset())
                        .hasAttribute(AttributeKey.stringKey("rpc.system"), "grpc")
                        .hasAttribute(
                            AttributeKey.stringKey("rpc.service"), "grpc.health.v1.Health")
                        .hasAttribute(AttributeKey.stringKey("rpc.method"), "Check")
                        .hasAttribute(AttributeKey.longKey("rpc.grpc.status_code"), 0L),
                span ->
                    span.hasName("step")
                        .hasParent(trace.getSpan(0))
                        .hasAttribute(AttributeKey.stringKey("service"), "good")));
    assertThat(health.traceId).isEqualTo(TRACE);
    assertThat(health.traceparent.orElseThrow()).startsWith("00-" + TRACE + "-");
  }

  @Test
  void otherThreadBelongsToTheSameCall() throws InterruptedException {
    check("good", "00-" + TRACE + "-b7ad6b7169203331-01");

    assertThat(health.traceIdElsewhere.take()).isEqualTo(TRACE);
  }

  @Test
  void failureOfTheServerIsAnError() {
    assertThatThrownBy(() -> check("broken", "")).isInstanceOf(StatusRuntimeException.class);

    Awaitility.await().until(() -> openTelemetry.getSpans().size() == 2);
    openTelemetry
        .assertTraces()
        .hasTracesSatisfyingExactly(trace ->
            trace.hasSpansSatisfyingExactly(
                span ->
                    span.hasStatus(StatusData.error())
                        .hasAttribute(AttributeKey.stringKey("error.type"), "INTERNAL"),
                span -> span.hasName("step")));
  }

  @Test
  void mistakeOfTheCallerIsCountedButNoError() {
    assertThatThrownBy(() -> check("absent", "")).isInstanceOf(StatusRuntimeException.class);

    Awaitility.await().until(() -> openTelemetry.getSpans().size() == 2);
    openTelemetry
        .assertTraces()
        .hasTracesSatisfyingExactly(trace ->
            trace.hasSpansSatisfyingExactly(
                span -> span.hasStatus(StatusData.unset()), span -> span.hasName("step")));
    assertThat(openTelemetry.getMetrics())
        .anySatisfy(metric ->
            assertThat(metric)
                .hasName("sandkeeper.errors.total")
                .hasLongSumSatisfying(sum ->
                    sum.hasPointsSatisfying(point ->
                        point
                            .hasAttribute(
                                AttributeKey.stringKey("operation"), "grpc.health.v1.Health/Check")
                            .hasAttribute(AttributeKey.stringKey("error_type"), "NOT_FOUND"))));
  }

  private HealthCheckResponse check(String service, String traceparent) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER), traceparent);
    return HealthGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
        .check(HealthCheckRequest.newBuilder().setService(service).build());
  }

  private final class Health extends HealthGrpc.HealthImplBase {
    private volatile String traceId = "";
    private volatile Optional<String> traceparent = Optional.empty();
    private final BlockingQueue<String> traceIdElsewhere = new ArrayBlockingQueue<>(1);

    @Override
    public void check(HealthCheckRequest request, StreamObserver<HealthCheckResponse> responses) {
      spans.run(
          "step",
          Map.of("service", request.getService()),
          () -> {
            traceId = MDC.get(LogKeys.TRACE_ID);
            traceparent = spans.traceparent();
            Thread.ofVirtual()
                .start(Spans.carrying(() -> traceIdElsewhere.add(MDC.get(LogKeys.TRACE_ID))));
          });
      switch (request.getService()) {
        case "good" -> {
          responses.onNext(HealthCheckResponse.getDefaultInstance());
          responses.onCompleted();
        }
        case "absent" -> responses.onError(Status.NOT_FOUND.asRuntimeException());
        default -> responses.onError(Status.INTERNAL.asRuntimeException());
      }
    }
  }
}
