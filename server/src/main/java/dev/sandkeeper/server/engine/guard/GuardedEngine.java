package dev.sandkeeper.server.engine.guard;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineHealth;
import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.EngineMonitor;
import dev.sandkeeper.server.engine.EngineRecord;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.RemoteEnd;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.telemetry.EngineInstruments;
import io.github.resilience4j.bulkhead.Bulkhead;
import io.github.resilience4j.bulkhead.BulkheadConfig;
import io.github.resilience4j.bulkhead.BulkheadFullException;
import io.github.resilience4j.circuitbreaker.CallNotPermittedException;
import io.github.resilience4j.circuitbreaker.CircuitBreaker;
import io.github.resilience4j.circuitbreaker.CircuitBreakerConfig;
import java.net.SocketTimeoutException;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An engine behind a circuit breaker and a bound of starts. While its calls fail because it cannot
 * work, or a check says so, they are refused at once, as {@code UNAVAILABLE}; that one sandbox
 * failed says nothing of the engine. What ends a sandbox is let through always: trying costs less
 * than one that goes on running.
 */
public final class GuardedEngine implements SandboxEngine, EngineMonitor {
  private static final Logger logger = LoggerFactory.getLogger(GuardedEngine.class);

  private final SandboxEngine engine;
  private final InstantSource clock;
  private final CircuitBreaker breaker;
  private final Bulkhead starts;
  private volatile Instant breakerSince;
  private volatile @Nullable Checked lastCheck;

  /** What a check found. */
  private record Checked(Instant time, Optional<String> error) {}

  /** Guards an engine, which is closed with this. */
  public GuardedEngine(
      SandboxEngine engine,
      GuardSettings settings,
      InstantSource clock,
      EngineInstruments instruments) {
    this.engine = engine;
    this.clock = clock;
    breakerSince = clock.instant();
    breaker = CircuitBreaker.of(engine.name(), breakerConfig(settings));
    starts =
        Bulkhead.of(
            engine.name(),
            BulkheadConfig.custom()
                .maxConcurrentCalls(settings.maxStarting())
                .maxWaitDuration(Duration.ZERO)
                .writableStackTraceEnabled(false)
                .build());
    observe(instruments);
  }

  private static CircuitBreakerConfig breakerConfig(GuardSettings settings) {
    return CircuitBreakerConfig.custom()
        .slidingWindowSize(settings.window())
        .minimumNumberOfCalls(settings.minimumCalls())
        .failureRateThreshold(settings.failurePercent())
        .waitDurationInOpenState(settings.openTime())
        .permittedNumberOfCallsInHalfOpenState(settings.trialCalls())
        .recordException(GuardedEngine::isOfTheEngine)
        .writableStackTraceEnabled(false)
        .build();
  }

  /** Says whether a failure is one of the engine as a whole. */
  private static boolean isOfTheEngine(Throwable failure) {
    if (failure instanceof EngineException known
        && known.kind() == EngineException.Kind.UNAVAILABLE
        && !isOfOneSandbox(known.getCause())) {
      return true;
    }
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof TimeoutException
          || cause instanceof HttpTimeoutException
          || cause instanceof SocketTimeoutException) {
        return true;
      }
    }
    return false;
  }

  /** Of a sandbox that cannot be taken up yet the cause is what is the matter with that one. */
  private static boolean isOfOneSandbox(@Nullable Throwable cause) {
    return cause instanceof EngineException known
        && known.kind() != EngineException.Kind.UNAVAILABLE;
  }

  private void observe(EngineInstruments instruments) {
    String name = engine.name();
    breaker
        .getEventPublisher()
        .onSuccess(_ -> instruments.called(name, EngineInstruments.Outcome.ANSWERED))
        .onError(_ -> instruments.called(name, EngineInstruments.Outcome.UNAVAILABLE))
        .onCallNotPermitted(_ -> instruments.called(name, EngineInstruments.Outcome.BREAKER_OPEN))
        .onStateTransition(event -> {
          breakerSince = clock.instant();
          logger
              .atWarn()
              .addKeyValue("engine", name)
              .addKeyValue("from", event.getStateTransition().getFromState())
              .addKeyValue("to", event.getStateTransition().getToState())
              .log("The circuit breaker of an engine has changed");
        });
    starts
        .getEventPublisher()
        .onCallRejected(_ -> instruments.called(name, EngineInstruments.Outcome.TOO_MANY_STARTS));
  }

  /** Checks the engine and keeps what was found; never throws. */
  public void look() {
    try {
      check();
    } catch (RuntimeException e) {
      logger.atDebug().addKeyValue("engine", name()).setCause(e).log("The check failed");
    }
  }

  /** Checks the engine; what comes of it decides whether its calls are let through. */
  @Override
  public void check() {
    try {
      engine.check();
    } catch (RuntimeException e) {
      lastCheck = new Checked(clock.instant(), Optional.of(textOf(e)));
      breaker.transitionToOpenState(); // of an open one the time begins anew
      throw e;
    }
    lastCheck = new Checked(clock.instant(), Optional.empty());
    if (breaker.getState() == CircuitBreaker.State.OPEN) {
      breaker.transitionToHalfOpenState();
    }
  }

  private static String textOf(RuntimeException failure) {
    String message = failure.getMessage();
    return message == null ? failure.getClass().getSimpleName() : message;
  }

  @Override
  public EngineHealth health() {
    Optional<Checked> checked = Optional.ofNullable(lastCheck);
    Bulkhead.Metrics places = starts.getMetrics();
    int most = places.getMaxAllowedConcurrentCalls();
    return new EngineHealth(
        checked.flatMap(Checked::error).isEmpty(),
        state(),
        breakerSince,
        checked.map(Checked::time),
        checked.flatMap(Checked::error),
        most - places.getAvailableConcurrentCalls(),
        most);
  }

  private EngineHealth.Breaker state() {
    return switch (breaker.getState()) {
      case CLOSED, DISABLED, METRICS_ONLY -> EngineHealth.Breaker.CLOSED;
      case OPEN, FORCED_OPEN -> EngineHealth.Breaker.OPEN;
      case HALF_OPEN -> EngineHealth.Breaker.HALF_OPEN;
    };
  }

  @Override
  public String name() {
    return engine.name();
  }

  @Override
  public List<String> runtimes() {
    return engine.runtimes();
  }

  @Override
  public boolean hasTemplates() {
    return engine.hasTemplates();
  }

  @Override
  public boolean keepsRecords() {
    return engine.keepsRecords();
  }

  @Override
  public Optional<EngineRecord> record(String remoteId) {
    return guarded(() -> engine.record(remoteId));
  }

  @Override
  public EngineSandbox create(SandboxSpec spec) {
    try {
      return starts.executeSupplier(() -> guarded(() -> engine.create(spec)));
    } catch (BulkheadFullException e) {
      throw unavailable("as many sandboxes are being started in the engine as may be at once", e);
    }
  }

  @Override
  public Optional<EngineSandbox> adopt(SandboxId id, long generation) {
    return guarded(() -> engine.adopt(id, generation));
  }

  @Override
  public List<EngineInstance> list() {
    return guarded(engine::list);
  }

  @Override
  public Optional<UsageReading> destroy(SandboxId id) {
    return engine.destroy(id);
  }

  @Override
  public String place() {
    return engine.place();
  }

  @Override
  public RemoteEnd end(SandboxId id, String place) {
    return engine.end(id, place);
  }

  @Override
  public void close() {
    engine.close();
  }

  private <T> T guarded(Supplier<T> call) {
    try {
      return breaker.executeSupplier(call);
    } catch (CallNotPermittedException e) {
      throw unavailable("the engine is not called, as its circuit breaker is open", e);
    }
  }

  private EngineException unavailable(String message, RuntimeException cause) {
    return new EngineException(EngineException.Kind.UNAVAILABLE, name() + ": " + message, cause);
  }
}
