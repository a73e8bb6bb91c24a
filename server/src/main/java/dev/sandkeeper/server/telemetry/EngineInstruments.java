package dev.sandkeeper.server.telemetry;

import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.metrics.DoubleCounter;
import io.opentelemetry.api.metrics.LongCounter;
import io.opentelemetry.api.metrics.Meter;
import io.opentelemetry.api.metrics.ObservableLongMeasurement;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Supplier;

/** The metrics of the engines, as their guards and those who fall back on others feed them. */
public final class EngineInstruments {
  private static final List<String> BREAKER_STATES = List.of("closed", "open", "half_open");

  private final Meter meter;
  private final LongCounter callTotal;
  private final LongCounter failoverTotal;
  private final LongCounter reconciledTotal;
  private final DoubleCounter drift;

  /** What came of a call of an engine. */
  public enum Outcome {
    /** The engine answered, also if one sandbox failed. */
    ANSWERED,
    /** The engine could not work, or not in time. */
    UNAVAILABLE,
    /** It was not called, as its circuit breaker was open. */
    BREAKER_OPEN,
    /** It was not called, as it was asked for as many starts as may be at once. */
    TOO_MANY_STARTS
  }

  EngineInstruments(OpenTelemetry openTelemetry) {
    meter = openTelemetry.getMeter(TelemetryNames.SCOPE);
    callTotal =
        meter
            .counterBuilder(TelemetryNames.ENGINE_CALL_TOTAL)
            .setDescription("Calls of an engine, by what came of them.")
            .build();
    failoverTotal =
        meter
            .counterBuilder(TelemetryNames.ENGINE_FAILOVER_TOTAL)
            .setDescription("New sandboxes that went from an engine to the next one.")
            .build();
    reconciledTotal =
        meter
            .counterBuilder(TelemetryNames.ENGINE_RECONCILED_TOTAL)
            .setDescription("Ended sandboxes whose bill was compared with the engine's record.")
            .build();
    drift =
        meter
            .counterBuilder(TelemetryNames.ENGINE_DRIFT)
            .ofDoubles()
            .setUnit(TelemetryNames.SECONDS)
            .setDescription("Time by which records of an engine differ from what was billed.")
            .build();
  }

  /** Returns instruments that lead nowhere. */
  public static EngineInstruments none() {
    return new EngineInstruments(OpenTelemetry.noop());
  }

  /** Counts a call of an engine. */
  public void called(String engine, Outcome outcome) {
    callTotal.add(
        1,
        Attributes.of(
            TelemetryNames.ENGINE,
            engine,
            TelemetryNames.OUTCOME,
            outcome.name().toLowerCase(Locale.ROOT)));
  }

  /**
   * Counts a new sandbox that went to another engine.
   *
   * @param reason unavailable or full
   */
  public void failedOver(String from, String to, String reason) {
    failoverTotal.add(
        1,
        Attributes.of(
            TelemetryNames.ENGINE,
            from,
            TelemetryNames.TO_ENGINE,
            to,
            TelemetryNames.REASON,
            reason));
  }

  /**
   * Counts a sandbox whose bill was compared with what its engine has on record.
   *
   * @param drifted whether they differ by more than they may
   * @param difference what is on record less what was billed; empty where nothing is on record
   */
  public void reconciled(String engine, boolean drifted, Optional<Duration> difference) {
    String agreement = drifted ? "drifted" : "agreed";
    reconciledTotal.add(
        1,
        Attributes.of(
            TelemetryNames.ENGINE,
            engine,
            TelemetryNames.OUTCOME,
            difference.isPresent() ? agreement : "unreported"));
    difference
        .filter(found -> !found.isZero())
        .ifPresent(found ->
            drift.add(
                found.abs().toMillis() / 1000.0,
                Attributes.of(
                    TelemetryNames.ENGINE,
                    engine,
                    TelemetryNames.DIRECTION,
                    found.isNegative() ? "under" : "over")));
  }

  /** Shows how the engines are, asked at each look at the metrics. Called once. */
  public void observe(Supplier<List<EngineReading>> source) {
    var breaker =
        gauge(
            TelemetryNames.ENGINE_BREAKER_STATE,
            "1 for the state that the engine's circuit breaker is in, 0 for the others.");
    var healthy =
        gauge(
            TelemetryNames.ENGINE_HEALTHY, "1 when the engine's last check found it able to work.");
    var starting = gauge(TelemetryNames.ENGINE_STARTING, "Sandboxes that are being started.");
    var _ =
        meter.batchCallback(
            () -> {
              for (EngineReading reading : source.get()) {
                Attributes engine = Attributes.of(TelemetryNames.ENGINE, reading.engine());
                healthy.record(reading.healthy() ? 1 : 0, engine);
                starting.record(reading.starting(), engine);
                for (String state : BREAKER_STATES) {
                  breaker.record(
                      state.equals(reading.breaker()) ? 1 : 0,
                      engine.toBuilder().put(TelemetryNames.STATE, state).build());
                }
              }
            },
            breaker,
            healthy,
            starting);
  }

  private ObservableLongMeasurement gauge(String name, String description) {
    return meter.gaugeBuilder(name).ofLongs().setDescription(description).buildObserver();
  }
}
