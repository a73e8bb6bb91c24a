package dev.sandkeeper.server.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import com.linecorp.armeria.client.WebClient;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.server.ServerBuilder;
import com.linecorp.armeria.testing.junit5.server.ServerExtension;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: what the rooms say can be seen as Prometheus text and at a collector, under the documented
// names.
final class TelemetryTest {
  private static final Telemetry shown = start(Optional.empty());
  private static final Set<String> collected = ConcurrentHashMap.newKeySet();

  @RegisterExtension
  static final ServerExtension server =
      new ServerExtension() {
        @Override
        protected void configure(ServerBuilder builder) {
          builder.service("/metrics", new MetricsService(shown));
          builder.service(
              "prefix:/collector",
              (_, request) -> {
                collected.add(request.path());
                return HttpResponse.of(request.aggregate().thenApply(_ -> HttpResponse.of(200)));
              });
        }
      };

  @Test
  void everyInstrumentIsShownUnderItsName() {
    try (Telemetry telemetry = start(Optional.empty())) {
      feed(telemetry.instruments());

      assertThat(new String(telemetry.scrape(), StandardCharsets.UTF_8))
          .contains(
              "sandkeeper_cost_total{engine=\"local\",kind=\"sandbox\",operation=\"execution\","
                  + "tenant=\"acme\",tier=\"standard\"} 0.0015",
              "sandkeeper_cost_per_sandbox_sum{tier=\"standard\"} 0.25",
              "sandkeeper_execution_duration_seconds_count",
              "sandkeeper_resource_cpu_seconds_total{tenant=\"acme\"} 2.5",
              "sandkeeper_resource_memory_gib_seconds_total{tenant=\"acme\"} 2.0",
              "sandkeeper_sandbox_create_duration_seconds_sum",
              "sandkeeper_sandbox_create_total{success=\"true\",tier=\"standard\"} 1.0",
              "sandkeeper_sandbox_terminate_total{reason=\"REQUESTED\"} 1.0",
              "sandkeeper_sandbox_active{engine=\"local\",state=\"RUNNING\",tenant=\"acme\","
                  + "tier=\"standard\"} 3.0",
              "sandkeeper_sandbox_orphaned_total{reason=\"UNKNOWN\"} 1.0",
              "sandkeeper_sandbox_lifetime_seconds_sum{tier=\"standard\"} 90.0",
              "sandkeeper_quota_limit{period=\"day\",scope_kind=\"tenant\","
                  + "spend_kind=\"all_spend\",tenant=\"acme\"} 10.0",
              "sandkeeper_quota_spent{",
              "sandkeeper_quota_reserved{",
              "sandkeeper_quota_utilization{period=\"day\",scope_kind=\"tenant\","
                  + "spend_kind=\"all_spend\",tenant=\"acme\"} 0.5",
              "sandkeeper_quota_exceeded_total{limit_kind=\"all_spend\",period=\"day\",tenant=\"acme\"} 1.0",
              "sandkeeper_errors_total{error_type=\"NOT_FOUND\",operation=\"Get\"} 1.0",
              "sandkeeper_cleanup_duration_seconds_count{reason=\"EXPIRED\"} 1",
              "sandkeeper_cleanup_failed_total{reason=\"EXPIRED\"} 1.0",
              "sandkeeper_engine_call_duration_seconds_count",
              "sandkeeper_ledger_latency_seconds_count{operation=\"admit\"} 1",
              "sandkeeper_alert_attempt_total{kind=\"test\",outcome=\"failed\"} 1.0",
              "sandkeeper_alert_given_up_total{reason=\"displaced\"} 2.0",
              "sandkeeper_alert_pending 7.0",
              "sandkeeper_replica_active 2.0");
    }
  }

  @Test
  void instrumentsThatLeadNowhereTakeEverything() {
    feed(Instruments.none());

    assertThat(Spans.none().traceparent()).isEmpty();
  }

  @Test
  void metricsAreServedOnTheServersOwnPort() {
    shown.instruments().sandboxOrphaned("FORGOTTEN");

    AggregatedHttpResponse response = WebClient.of(server.httpUri()).blocking().get("/metrics");

    assertThat(response.status()).isEqualTo(HttpStatus.OK);
    assertThat(response.contentType()).hasToString(Telemetry.SCRAPE_CONTENT_TYPE);
    assertThat(response.contentUtf8()).contains("reason=\"FORGOTTEN\"");
  }

  @Test
  void configuredCollectorGetsMetricsAndSpans() {
    try (Telemetry telemetry = start(Optional.of(server.httpUri().resolve("/collector")))) {
      telemetry.instruments().sandboxOrphaned("FORGOTTEN");
      telemetry.spans().run("step", Map.of(), () -> {});
    }

    assertThat(collected).contains("/collector/v1/metrics", "/collector/v1/traces");
  }

  private static void feed(Instruments instruments) {
    instruments.costBooked("acme", "standard", "local", "execution", 1_500_000);
    instruments.sandboxCreated("standard", "local", false, true, Duration.ofMillis(20));
    instruments.sandboxEnded("standard", "REQUESTED", Duration.ofSeconds(90), 250_000_000);
    instruments.sandboxOrphaned("UNKNOWN");
    instruments.executionFinished("acme", "standard", "python", "COMPLETED", Duration.ofMillis(3));
    instruments.cpuUsed("acme", 2_500_000);
    instruments.memoryUsed("acme", 2 * 1024 * 1000);
    instruments.quotaExceeded("acme", "all_spend", "day");
    instruments.error("Get", "NOT_FOUND");
    instruments.cleanedUp("EXPIRED", false, Duration.ofMillis(5));
    instruments.engineCalled("local", "create", Duration.ofMillis(20));
    instruments.ledgerCalled("admit", Duration.ofMillis(1));
    instruments.alertAttempted("test", "failed");
    instruments.alertsGivenUp("displaced", 2);
    instruments.observePendingAlerts(() -> 7);
    instruments.observeReplicas(() -> 2);
    instruments.observeSandboxes(
        () -> List.of(new ActiveSandboxes("acme", "standard", "local", "RUNNING", 3)));
    instruments.observeQuotas(() ->
        List.of(
            new QuotaReading(
                "acme", "all_spend", "day", 10_000_000_000L, 4_000_000_000L, 1_000_000_000L)));
  }

  private static Telemetry start(Optional<URI> endpoint) {
    return Telemetry.start(new TelemetrySettings("node", endpoint, Duration.ofHours(1)));
  }
}
