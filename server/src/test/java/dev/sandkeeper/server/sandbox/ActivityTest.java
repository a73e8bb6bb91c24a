package dev.sandkeeper.server.sandbox;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;

class ActivityTest {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);

  private volatile Instant now = Instant.parse("2026-01-01T00:00:00Z");
  private final Activity activity = new Activity(() -> now);

  @Test
  void idleFromItsBeginning() {
    assertThat(activity.whenIdleFor(TIMEOUT)).contains(now.plus(TIMEOUT));
    pass(9_999);
    assertThat(activity.whenIdleFor(TIMEOUT)).contains(now.plusMillis(1));
    pass(1);
    assertThat(activity.whenIdleFor(TIMEOUT)).isEmpty();
  }

  @Test
  void neverIdleWhileInUse() {
    assertThat(activity.begin()).isTrue();
    assertThat(activity.begin()).isTrue();
    activity.end();
    pass(3_600_000);
    assertThat(activity.whenIdleFor(TIMEOUT)).contains(now.plus(TIMEOUT));
    activity.end();
    pass(1);
    assertThat(activity.whenIdleFor(TIMEOUT)).contains(now.plusMillis(9_999));
  }

  @Test
  void aUseThatCameToNothingChangesNothing() {
    pass(9_000);
    assertThat(activity.begin()).isTrue();
    activity.abandon();
    pass(999);
    assertThat(activity.whenIdleFor(TIMEOUT)).contains(now.plusMillis(1));
  }

  @Test
  void countsAnewWhenTouched() {
    pass(9_999);
    activity.touch();
    pass(9_999);
    assertThat(activity.whenIdleFor(TIMEOUT)).contains(now.plusMillis(1));
  }

  @Test
  void aUseInTimeCountsAndNoneBeginsBehindTheEnd() {
    pass(10_000);
    assertThat(activity.begin()).isTrue();
    activity.end();
    assertThat(activity.whenIdleFor(TIMEOUT)).isPresent();
    pass(10_000);
    assertThat(activity.whenIdleFor(TIMEOUT)).isEmpty();
    assertThat(activity.begin()).isFalse();
    activity.touch();
    assertThat(activity.whenIdleFor(TIMEOUT)).isEmpty();
  }

  @RepeatedTest(200)
  void ofAUseAndTheEndAtOneMomentOneComesFirst() throws Exception {
    pass(10_000);
    CyclicBarrier barrier = new CyclicBarrier(2);
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<Boolean> begun = executor.submit(together(barrier, activity::begin));
      Future<Optional<Instant>> next =
          executor.submit(together(barrier, () -> activity.whenIdleFor(TIMEOUT)));
      assertThat(begun.get()).isEqualTo(next.get().isPresent());
    }
  }

  private static <T> Callable<T> together(CyclicBarrier barrier, Callable<T> work) {
    return () -> {
      barrier.await();
      return work.call();
    };
  }

  private void pass(long millis) {
    now = now.plusMillis(millis);
  }
}
