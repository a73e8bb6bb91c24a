package dev.sandkeeper.server.telemetry;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleCounter;
import io.opentelemetry.api.metrics.DoubleHistogram;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.LongHistogram;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.metrics.ObservableDoubleMeasurement;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;

/**
 * The metrics, as calls in the rooms' own words. Money becomes a floating-point number here, which
 * is for looking at; the books are the ledger's.
 */
public final class Instruments {
  private static final double NANO_USD_PER_USD = 1e9;
  private static final double MICROS_PER_SECOND = 1e6;
  private static final double MIB_MILLIS_PER_GIB_SECOND = 1024 * 1000.0;
  private static final double NANOS_PER_SECOND = 1e9;

  // The library's own buckets are made for milliseconds.
  private static final List<Double> SECONDS_BUCKETS =
      List.of(
          0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
          30.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0);
  private static final List<Double> USD_BUCKETS =
      List.of(1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0);

  private final Meter meter;
  private final DoubleCounter costTotal;
  private final DoubleHistogram costPerSandbox;
  private final DoubleHistogram executionDuration;
  private final DoubleCounter cpuSeconds;
  private final DoubleCounter memoryGibSeconds;
  private final DoubleHistogram createDuration;
  private final LongCounter createTotal;
  private final LongCounter terminateTotal;
  private final LongCounter orphanedTotal;
  private final DoubleHistogram lifetime;
  private final LongCounter quotaExceededTotal;
  private final LongCounter errorsTotal;
  private final DoubleHistogram cleanupDuration;
  private final LongCounter cleanupFailedTotal;
  private final DoubleHistogram engineCallDuration;
  private final DoubleHistogram ledgerLatency;
  private final LongHistogram ledgerBatchSize;
  private final LongCounter certificateReloadTotal;
  private final LongCounter connectionRefusedTotal;
  private final LongCounter rateLimitedTotal;
  private final LongCounter portConnectionTotal;
  private final LongCounter portRefusedTotal;
  private final LongCounter alertAttemptTotal;
  private final LongCounter alertGivenUpTotal;
  private final LongCounter egressConnectionTotal;

  Instruments(OpenTelemetry openTelemetry) {
    meter = openTelemetry.getMeter(TelemetryNames.SCOPE);
    costTotal =
        meter
            .counterBuilder(TelemetryNames.COST_TOTAL)
            .ofDoubles()
            .setUnit(TelemetryNames.USD)
            .setDescription("What was booked.")
            .build();
    costPerSandbox =
        histogram(
            TelemetryNames.COST_PER_SANDBOX,
            TelemetryNames.USD,
            USD_BUCKETS,
            "What a sandbox cost in all, at its end.");
    executionDuration = seconds(TelemetryNames.EXECUTION_DURATION, "How long executions ran.");
    cpuSeconds =
        meter
            .counterBuilder(TelemetryNames.RESOURCE_CPU_SECONDS)
            .ofDoubles()
            .setUnit(TelemetryNames.SECONDS)
            .setDescription("Processor time used in sandboxes.")
            .build();
    memoryGibSeconds =
        meter
            .counterBuilder(TelemetryNames.RESOURCE_MEMORY_GIB_SECONDS)
            .ofDoubles()
            .setUnit(TelemetryNames.GIB_SECONDS)
            .setDescription("Memory over time used in sandboxes.")
            .build();
    createDuration =
        seconds(TelemetryNames.SANDBOX_CREATE_DURATION, "How long creating a sandbox took.");
    createTotal = counter(TelemetryNames.SANDBOX_CREATE_TOTAL, "Sandboxes created, or not.");
    terminateTotal = counter(TelemetryNames.SANDBOX_TERMINATE_TOTAL, "Sandboxes ended.");
    orphanedTotal =
        counter(TelemetryNames.SANDBOX_ORPHANED_TOTAL, "Sandboxes found that nobody owned.");
    lifetime = seconds(TelemetryNames.SANDBOX_LIFETIME, "How long sandboxes lived.");
    quotaExceededTotal = counter(TelemetryNames.QUOTA_EXCEEDED_TOTAL, "Refusals by a limit.");
    errorsTotal = counter(TelemetryNames.ERRORS_TOTAL, "Calls that failed or were refused.");
    cleanupDuration = seconds(TelemetryNames.CLEANUP_DURATION, "How long ending a sandbox took.");
    cleanupFailedTotal =
        counter(TelemetryNames.CLEANUP_FAILED_TOTAL, "Sandboxes that could not be ended at once.");
    engineCallDuration =
        seconds(TelemetryNames.ENGINE_CALL_DURATION, "How long calls of an engine took.");
    ledgerLatency = seconds(TelemetryNames.LEDGER_LATENCY, "How long calls of the ledger took.");
    ledgerBatchSize =
        meter
            .histogramBuilder(TelemetryNames.LEDGER_BATCH_SIZE)
            .ofLongs()
            .setDescription("How many spends the ledger decided at once.")
            .setExplicitBucketBoundariesAdvice(List.of(1L, 2L, 4L, 8L, 16L, 32L, 64L, 128L, 256L))
            .build();
    certificateReloadTotal =
        counter(
            TelemetryNames.CERTIFICATE_RELOAD_TOTAL,
            "Certificates taken up while running, and looks at files that could not be used.");
    connectionRefusedTotal =
        counter(
            TelemetryNames.CONNECTION_REFUSED_TOTAL,
            "Connections closed at once because there were too many.");
    rateLimitedTotal =
        counter(TelemetryNames.RATE_LIMITED_TOTAL, "Calls refused because they came too fast.");
    portConnectionTotal =
        counter(TelemetryNames.PORT_CONNECTION_TOTAL, "Connections to ports of sandboxes.");
    portRefusedTotal =
        counter(TelemetryNames.PORT_REFUSED_TOTAL, "Connections to ports that could not be had.");
    alertAttemptTotal =
        counter(TelemetryNames.ALERT_ATTEMPT_TOTAL, "Attempts to send alerts to webhooks.");
    alertGivenUpTotal =
        counter(
            TelemetryNames.ALERT_GIVEN_UP_TOTAL,
            "Alerts given up because they waited too long, or were too many for one webhook.");
    egressConnectionTotal =
        counter(
            TelemetryNames.EGRESS_CONNECTION_TOTAL,
            "Connections that sandboxes asked for, by what became of them.");
    connectionRefusedTotal.add(0); // without labels it is shown before the first, too
  }

  /** Returns instruments that lead nowhere. */
  public static Instruments none() {
    return new Instruments(OpenTelemetry.noop());
  }

  /**
   * Counts what was booked.
   *
   * @param nanoUsd in nano-USD, not negative
   * @param operation what was booked for: execution or idle
   */
  public void costBooked(
      String tenant, String tier, String engine, String operation, long nanoUsd) {
    costTotal.add(
        nanoUsd / NANO_USD_PER_USD,
        Attributes.builder()
            .put(TelemetryNames.TENANT, tenant)
            .put(TelemetryNames.KIND, "sandbox")
            .put(TelemetryNames.TIER, tier)
            .put(TelemetryNames.ENGINE, engine)
            .put(TelemetryNames.OPERATION, operation)
            .build());
  }

  /** Counts an attempt to create a sandbox, and how long it took. */
  public void sandboxCreated(
      String tier, String engine, boolean isWarm, boolean success, Duration duration) {
    createTotal.add(1, Attributes.of(TelemetryNames.TIER, tier, TelemetryNames.SUCCESS, success));
    createDuration.record(
        toSeconds(duration),
        Attributes.builder()
            .put(TelemetryNames.TIER, tier)
            .put(TelemetryNames.ENGINE, engine)
            .put(TelemetryNames.START, isWarm ? "warm" : "cold")
            .put(TelemetryNames.SUCCESS, success)
            .build());
  }

  /**
   * Counts the end of a sandbox.
   *
   * @param lifetime the time that was billed
   * @param costNanoUsd what it cost in all, in nano-USD
   */
  public void sandboxEnded(String tier, String reason, Duration lifetime, long costNanoUsd) {
    terminateTotal.add(1, Attributes.of(TelemetryNames.REASON, reason));
    this.lifetime.record(toSeconds(lifetime), Attributes.of(TelemetryNames.TIER, tier));
    costPerSandbox.record(costNanoUsd / NANO_USD_PER_USD, Attributes.of(TelemetryNames.TIER, tier));
  }

  /** Counts a sandbox that ran and that nobody owned. */
  public void sandboxOrphaned(String reason) {
    orphanedTotal.add(1, Attributes.of(TelemetryNames.REASON, reason));
  }

  /**
   * Counts an execution.
   *
   * @param language of the code; empty for a command
   */
  public void executionFinished(
      String tenant, String tier, String language, String outcome, Duration duration) {
    executionDuration.record(
        toSeconds(duration),
        Attributes.builder()
            .put(TelemetryNames.TENANT, tenant)
            .put(TelemetryNames.TIER, tier)
            .put(TelemetryNames.LANGUAGE, language)
            .put(TelemetryNames.OUTCOME, outcome)
            .build());
  }

  /** Counts measured processor time, in microseconds. */
  public void cpuUsed(String tenant, long micros) {
    cpuSeconds.add(micros / MICROS_PER_SECOND, Attributes.of(TelemetryNames.TENANT, tenant));
  }

  /** Counts measured memory over time, in MiB-milliseconds. */
  public void memoryUsed(String tenant, long mibMillis) {
    memoryGibSeconds.add(
        mibMillis / MIB_MILLIS_PER_GIB_SECOND, Attributes.of(TelemetryNames.TENANT, tenant));
  }

  /** Counts a connection to a port of a sandbox. */
  public void portConnected() {
    portConnectionTotal.add(1);
  }

  /** Counts a connection to a port that could not be had. */
  public void portRefused(String reason) {
    portRefusedTotal.add(1, Attributes.of(TelemetryNames.REASON, reason));
  }

  /** Counts a refusal by a limit; the kind is what it limits. */
  public void quotaExceeded(String tenant, String limitKind, String period) {
    quotaExceededTotal.add(
        1,
        Attributes.of(
            TelemetryNames.TENANT,
            tenant,
            TelemetryNames.LIMIT_KIND,
            limitKind,
            TelemetryNames.PERIOD,
            period));
  }

  /** Counts a call that failed or was refused. */
  public void error(String operation, String errorType) {
    errorsTotal.add(
        1,
        Attributes.of(TelemetryNames.OPERATION, operation, TelemetryNames.ERROR_TYPE, errorType));
  }

  /** Counts an attempt to end a sandbox, and how long it took. */
  public void cleanedUp(String reason, boolean success, Duration duration) {
    Attributes attributes = Attributes.of(TelemetryNames.REASON, reason);
    cleanupDuration.record(toSeconds(duration), attributes);
    if (!success) {
      cleanupFailedTotal.add(1, attributes);
    }
  }

  /** Records how long a call of an engine took. */
  public void engineCalled(String engine, String operation, Duration duration) {
    engineCallDuration.record(
        toSeconds(duration),
        Attributes.of(TelemetryNames.ENGINE, engine, TelemetryNames.OPERATION, operation));
  }

  /** Records how long a call of the ledger took. */
  public void ledgerCalled(String operation, Duration duration) {
    ledgerLatency.record(toSeconds(duration), Attributes.of(TelemetryNames.OPERATION, operation));
  }

  /** Makes a call of an engine and measures it, also when it fails. */
  public <T> T timedEngineCall(String engine, String operation, Supplier<T> call) {
    long start = System.nanoTime();
    try {
      return call.get();
    } finally {
      engineCalled(engine, operation, Duration.ofNanos(System.nanoTime() - start));
    }
  }

  /** Makes a call of the ledger and measures it, also when it fails. */
  public <T> T timedLedgerCall(String operation, Supplier<T> call) {
    long start = System.nanoTime();
    try {
      return call.get();
    } finally {
      ledgerCalled(operation, Duration.ofNanos(System.nanoTime() - start));
    }
  }

  /** Measures how many spends the ledger decided at once. */
  public void ledgerBatch(int size) {
    ledgerBatchSize.record(size);
  }

  /** Counts a certificate that was taken up, or a look at one that cannot be used. */
  public void certificateReloaded(boolean success) {
    certificateReloadTotal.add(1, Attributes.of(TelemetryNames.SUCCESS, success));
  }

  /** Shows how long the server's certificate is good for. Called once. */
  public void observeCertificate(Supplier<Duration> untilExpiry) {
    var _ =
        meter
            .gaugeBuilder(TelemetryNames.CERTIFICATE_EXPIRY)
            .ofLongs()
            .setUnit(TelemetryNames.SECONDS)
            .setDescription("Until the server's certificate expires; negative when it has.")
            .buildWithCallback(measurement -> measurement.record(untilExpiry.get().toSeconds()));
  }

  /**
   * Counts a call that was refused because it came too fast.
   *
   * @param kind what came too fast: key or address
   */
  public void rateLimited(String kind) {
    rateLimitedTotal.add(1, Attributes.builder().put(TelemetryNames.KIND, kind).build());
  }

  /** Counts a connection that was closed at once because there were too many. */
  public void connectionRefused() {
    connectionRefusedTotal.add(1);
  }

  /**
   * Counts an attempt to send an alert.
   *
   * @param kind what happened
   * @param outcome delivered, failed or gone
   */
  public void alertAttempted(String kind, String outcome) {
    alertAttemptTotal.add(
        1, Attributes.of(TelemetryNames.KIND, kind, TelemetryNames.OUTCOME, outcome));
  }

  /**
   * Counts alerts that are given up.
   *
   * @param reason expired or displaced
   */
  public void alertsGivenUp(String reason, int count) {
    alertGivenUpTotal.add(count, Attributes.of(TelemetryNames.REASON, reason));
  }

  /**
   * Counts a connection that a sandbox asked for, at its end.
   *
   * @param outcome ALLOWED, or why it was refused or cut
   */
  public void egressConnection(String outcome) {
    egressConnectionTotal.add(1, Attributes.of(TelemetryNames.OUTCOME, outcome));
  }

  /** Shows how many connections of sandboxes to hosts are open. Called once. */
  public void observeEgress(Supplier<Integer> source) {
    observe(TelemetryNames.EGRESS_CONNECTION_ACTIVE, "Connections of sandboxes to hosts.", source);
  }

  /** Shows how many alerts wait, on whichever server one looks. Called once. */
  public void observePendingAlerts(Supplier<Integer> source) {
    observe(TelemetryNames.ALERT_PENDING, "Alerts that wait to be sent, of all servers.", source);
  }

  /** Shows how many servers count as alive, on whichever one looks. Called once. */
  public void observeReplicas(Supplier<Integer> source) {
    observe(
        TelemetryNames.REPLICA_ACTIVE,
        "Servers on the database that have given a sign of life in time.",
        source);
  }

  /** Shows how many connections are open. Called once. */
  public void observeConnections(Supplier<Integer> source) {
    observe(TelemetryNames.CONNECTION_ACTIVE, "Connections that are open.", source);
  }

  /** Shows how many calls are open that stay open. Called once. */
  public void observeStreams(Supplier<Integer> source) {
    observe(TelemetryNames.STREAM_ACTIVE, "Streams that are open.", source);
  }

  /** Shows how many connections to ports are open, asked at each look at the metrics. */
  public void observePorts(Supplier<Integer> source) {
    observe(
        TelemetryNames.PORT_CONNECTION_ACTIVE,
        "Connections to ports of sandboxes that are open.",
        source);
  }

  /** Shows how many sandboxes there are, asked at each look at the metrics. Called once. */
  public void observeSandboxes(Supplier<List<ActiveSandboxes>> source) {
    var _ =
        meter
            .gaugeBuilder(TelemetryNames.SANDBOX_ACTIVE)
            .ofLongs()
            .setDescription("Sandboxes that have not ended.")
            .buildWithCallback(measurement -> {
              for (ActiveSandboxes active : source.get()) {
                measurement.record(
                    active.count(),
                    Attributes.builder()
                        .put(TelemetryNames.TENANT, active.tenant())
                        .put(TelemetryNames.TIER, active.tier())
                        .put(TelemetryNames.ENGINE, active.engine())
                        .put(TelemetryNames.STATE, active.state())
                        .build());
              }
            });
  }

  /** Shows how the limits stand, asked at each look at the metrics. Called once. */
  public void observeQuotas(Supplier<List<QuotaReading>> source) {
    var limit = gauge(TelemetryNames.QUOTA_LIMIT, TelemetryNames.USD, "The limit.");
    var spent = gauge(TelemetryNames.QUOTA_SPENT, TelemetryNames.USD, "Booked in the period.");
    var reserved = gauge(TelemetryNames.QUOTA_RESERVED, TelemetryNames.USD, "Held by what runs.");
    var utilization =
        gauge(
            TelemetryNames.QUOTA_UTILIZATION,
            TelemetryNames.RATIO,
            "The part of the limit that is spent or held.");
    // One callback, so that one look asks once and the four agree.
    var _ =
        meter.batchCallback(
            () -> {
              List<QuotaReading> readings = source.get();
              record(limit, readings, reading -> reading.limitNanoUsd() / NANO_USD_PER_USD);
              record(spent, readings, reading -> reading.spentNanoUsd() / NANO_USD_PER_USD);
              record(reserved, readings, reading -> reading.reservedNanoUsd() / NANO_USD_PER_USD);
              record(utilization, readings, QuotaReading::utilization);
            },
            limit,
            spent,
            reserved,
            utilization);
  }

  private static void record(
      ObservableDoubleMeasurement measurement,
      List<QuotaReading> readings,
      ToDoubleFunction<QuotaReading> value) {
    for (QuotaReading reading : readings) {
      measurement.record(
          value.applyAsDouble(reading),
          Attributes.builder()
              .put(TelemetryNames.TENANT, reading.tenant())
              .put(TelemetryNames.SCOPE_KIND, "tenant")
              .put(TelemetryNames.SPEND_KIND, reading.spendKind())
              .put(TelemetryNames.PERIOD, reading.period())
              .build());
    }
  }

  private void observe(String name, String description, Supplier<Integer> source) {
    var _ =
        meter
            .gaugeBuilder(name)
            .ofLongs()
            .setDescription(description)
            .buildWithCallback(measurement -> measurement.record(source.get()));
  }

  private ObservableDoubleMeasurement gauge(String name, String unit, String description) {
    return meter.gaugeBuilder(name).setUnit(unit).setDescription(description).buildObserver();
  }

  private LongCounter counter(String name, String description) {
    return meter.counterBuilder(name).setDescription(description).build();
  }

  private DoubleHistogram seconds(String name, String description) {
    return histogram(name, TelemetryNames.SECONDS, SECONDS_BUCKETS, description);
  }

  private DoubleHistogram histogram(
      String name, String unit, List<Double> buckets, String description) {
    return meter
        .histogramBuilder(name)
        .setUnit(unit)
        .setDescription(description)
        .setExplicitBucketBoundariesAdvice(buckets)
        .build();
  }

  private static double toSeconds(Duration duration) {
    return duration.toNanos() / NANOS_PER_SECOND;
  }
}
