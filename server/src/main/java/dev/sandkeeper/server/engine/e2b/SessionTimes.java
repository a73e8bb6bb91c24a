package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.EngineRecord;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Adds up how long a sandbox ran, from what E2B tells of its life. A session lies between a start
 * or a resumption and the pause or the end that closes it; E2B gives its length with the latter.
 */
final class SessionTimes {
  /**
   * How far a session's length may be from what lies between its two events, as a pause is told of
   * once it is done. One that is further off began with another event, which is missing.
   */
  private static final Duration MOST_OFF = Duration.ofMinutes(1);

  private @Nullable Instant startTime;
  private @Nullable Instant runningSince;
  private @Nullable Instant endTime;
  private Duration lastSession = Duration.ZERO;
  private Duration ran = Duration.ZERO;

  /** What counts, in the order in which it can happen at one moment. */
  private enum Kind {
    CREATED,
    PAUSED,
    RESUMED,
    KILLED;

    private String type() {
      return "sandbox.lifecycle." + name().toLowerCase(Locale.ROOT);
    }
  }

  /** One event that counts. */
  private record Step(Kind kind, LifecycleEvent event) {}

  private SessionTimes() {}

  /**
   * Returns what the events of one sandbox come to.
   *
   * @param events in any order, some of them more than once
   * @return empty when it has not ended, or an event is missing
   */
  static Optional<EngineRecord> fold(Collection<LifecycleEvent> events) {
    SessionTimes times = new SessionTimes();
    return steps(events).stream().allMatch(times::take) ? times.all() : Optional.empty();
  }

  /** Returns each event that counts once, the oldest first. */
  private static List<Step> steps(Collection<LifecycleEvent> events) {
    record Moment(Kind kind, Instant time) {}

    Map<String, LifecycleEvent> byId = new LinkedHashMap<>();
    events.forEach(event -> byId.putIfAbsent(event.id(), event));
    Map<Moment, Step> byMoment = new LinkedHashMap<>();
    for (LifecycleEvent event : byId.values()) {
      for (Kind kind : Kind.values()) {
        if (event.type().equals(kind.type())) {
          byMoment.putIfAbsent(new Moment(kind, event.time()), new Step(kind, event));
        }
      }
    }
    return byMoment.values().stream()
        .sorted(Comparator.comparing((Step step) -> step.event().time()).thenComparing(Step::kind))
        .toList();
  }

  /** Takes the next event; false when it cannot follow those before. */
  private boolean take(Step step) {
    Instant time = step.event().time();
    boolean lives = startTime != null && endTime == null;
    return switch (step.kind()) {
      case CREATED -> {
        boolean first = startTime == null;
        startTime = time;
        runningSince = time;
        yield first;
      }
      case PAUSED -> lives && closeSession(step.event());
      case RESUMED -> {
        boolean paused = runningSince == null;
        runningSince = time;
        yield lives && paused;
      }
      case KILLED -> {
        endTime = time;
        boolean closed =
            runningSince == null ? closesNone(step.event()) : closeSession(step.event());
        yield lives && closed;
      }
    };
  }

  private boolean closeSession(LifecycleEvent event) {
    Instant since = runningSince;
    runningSince = null;
    if (since == null || event.ran().isEmpty() || event.ran().get().isNegative()) {
      return false;
    }
    Duration length = event.ran().get();
    lastSession = length;
    ran = ran.plus(length);
    return Duration.between(since, event.time()).minus(length).abs().compareTo(MOST_OFF) <= 0;
  }

  /** Whether an end closes no session: it gives no length, or that of the one that was closed. */
  private boolean closesNone(LifecycleEvent event) {
    return event.ran().map(length -> length.isZero() || length.equals(lastSession)).orElse(true);
  }

  private Optional<EngineRecord> all() {
    Instant start = startTime;
    Instant end = endTime;
    return start == null || end == null
        ? Optional.empty()
        : Optional.of(new EngineRecord(ran, start, end));
  }
}
