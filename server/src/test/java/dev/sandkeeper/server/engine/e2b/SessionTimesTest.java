package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.EngineRecord;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

// Goal: how long a sandbox ran is what E2B's events add up to, or nothing when some are not there.
final class SessionTimesTest {
  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");

  // 60 s, paused for 40 s, 30 s, paused for 100 s, 10 s; a pause is told of 2 s after it began.
  private static final LifecycleEvent CREATED = event("created", 0);
  private static final LifecycleEvent PAUSED = event("paused", 62, 60_500);
  private static final LifecycleEvent RESUMED = event("resumed", 100);
  private static final LifecycleEvent PAUSED_AGAIN = event("paused", 132, 30_000);
  private static final LifecycleEvent RESUMED_AGAIN = event("resumed", 230);
  private static final LifecycleEvent KILLED = event("killed", 240, 10_001);
  private static final List<LifecycleEvent> LIFE =
      List.of(CREATED, PAUSED, RESUMED, PAUSED_AGAIN, RESUMED_AGAIN, KILLED);
  private static final EngineRecord ALL =
      new EngineRecord(Duration.ofMillis(100_501), NOON, at(240));

  @Test
  void sessionsAddUpWithoutThePauses() {
    assertThat(SessionTimes.fold(List.of(CREATED, event("killed", 10, 9_900))))
        .contains(new EngineRecord(Duration.ofMillis(9_900), NOON, at(10)));
    assertThat(SessionTimes.fold(LIFE)).contains(ALL);
  }

  @Test
  void orderAndRepetitionsDoNotMatter() {
    List<LifecycleEvent> twice = new ArrayList<>(LIFE);
    twice.addAll(LIFE);
    // The same again under another id.
    twice.add(
        new LifecycleEvent(
            "other",
            PAUSED.type(),
            PAUSED.sandboxId(),
            PAUSED.time(),
            PAUSED.metadata(),
            PAUSED.ran(),
            Optional.empty()));
    for (int seed = 0; seed < 50; seed++) {
      Collections.shuffle(twice, new Random(seed));
      assertThat(SessionTimes.fold(twice)).as("seed %s", seed).contains(ALL);
    }
  }

  @Test
  void whatIsNeitherStartNorEndOfASessionDoesNotCount() {
    List<LifecycleEvent> more = new ArrayList<>(LIFE);
    more.add(event("updated", 20));
    more.add(event("checkpointed", 21, 21_000));
    more.add(event("updated", 241));

    assertThat(SessionTimes.fold(more)).contains(ALL);
  }

  @Test
  void anyEventThatIsMissingLeavesNothing() {
    for (LifecycleEvent missing : LIFE) {
      List<LifecycleEvent> rest = new ArrayList<>(LIFE);
      rest.remove(missing);
      assertThat(SessionTimes.fold(rest)).as(missing.type() + missing.time()).isEmpty();
    }
    assertThat(SessionTimes.fold(List.of())).isEmpty();
    assertThat(SessionTimes.fold(List.of(KILLED))).isEmpty();
  }

  @Test
  void aPauseAndItsResumptionThatAreMissingAreNoticedByTheLengths() {
    assertThat(SessionTimes.fold(List.of(CREATED, PAUSED_AGAIN, RESUMED_AGAIN, KILLED))).isEmpty();
    assertThat(SessionTimes.fold(List.of(CREATED, PAUSED, RESUMED, KILLED))).isEmpty();
  }

  @Test
  void aLengthThatIsMissingLeavesNothing() {
    assertThat(SessionTimes.fold(List.of(CREATED, event("killed", 10)))).isEmpty();
    assertThat(SessionTimes.fold(List.of(CREATED, event("killed", 10, -1)))).isEmpty();
    assertThat(
            SessionTimes.fold(
                List.of(CREATED, event("paused", 62), RESUMED, event("killed", 110, 10_000))))
        .isEmpty();
  }

  @Test
  void ofOneThatEndsWhilePausedTheLastSessionCountsOnce() {
    assertThat(SessionTimes.fold(List.of(CREATED, PAUSED, event("killed", 500, 60_500))))
        .contains(new EngineRecord(Duration.ofMillis(60_500), NOON, at(500)));
    assertThat(SessionTimes.fold(List.of(CREATED, PAUSED, event("killed", 500))))
        .contains(new EngineRecord(Duration.ofMillis(60_500), NOON, at(500)));
  }

  @Test
  void eventsBehindTheEndAreNotOfOneLife() {
    List<LifecycleEvent> more = new ArrayList<>(LIFE);
    more.add(event("resumed", 300));

    assertThat(SessionTimes.fold(more)).isEmpty();
  }

  private static LifecycleEvent event(String type, int second) {
    return event(type, second, Optional.empty());
  }

  private static LifecycleEvent event(String type, int second, long ranMillis) {
    return event(type, second, Optional.of(Duration.ofMillis(ranMillis)));
  }

  private static LifecycleEvent event(String type, int second, Optional<Duration> ran) {
    return new LifecycleEvent(
        type + "-" + second,
        "sandbox.lifecycle." + type,
        "sandbox",
        at(second),
        Map.of(),
        ran,
        Optional.empty());
  }

  private static Instant at(int second) {
    return NOON.plusSeconds(second);
  }
}
