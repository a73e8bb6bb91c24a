package dev.sandkeeper.server.access;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class RateLimiterTest {
  /** Where monotonic time begins is arbitrary: here so that it passes zero. */
  private long now = Duration.ofMillis(-600).toNanos();

  private final RateLimiter limiter = new RateLimiter(2, 3, () -> now);

  @Test
  void aBurstPassesAndThenOneForEachTokenThatComes() {
    for (int i = 0; i < 3; i++) {
      assertThat(limiter.take("a")).isEmpty();
    }
    assertThat(limiter.take("a")).contains(Duration.ofMillis(500));

    pass(Duration.ofMillis(499));
    assertThat(limiter.take("a")).contains(Duration.ofMillis(1));

    pass(Duration.ofMillis(1));
    assertThat(limiter.take("a")).isEmpty();
    assertThat(limiter.take("a")).contains(Duration.ofMillis(500));
  }

  @Test
  void refusedTakesCostNothing() {
    while (limiter.take("a").isEmpty()) {
      // takes all
    }
    for (int i = 0; i < 1000; i++) {
      assertThat(limiter.take("a")).contains(Duration.ofMillis(500));
    }
  }

  @Test
  void aLongPauseFillsNoMoreThanABurst() {
    assertThat(limiter.take("a")).isEmpty();
    pass(Duration.ofDays(1));
    for (int i = 0; i < 3; i++) {
      assertThat(limiter.take("a")).isEmpty();
    }
    assertThat(limiter.take("a")).isPresent();
  }

  @Test
  void eachHasABucketOfItsOwn() {
    while (limiter.take("a").isEmpty()) {
      // takes all
    }
    assertThat(limiter.take("b")).isEmpty();
  }

  @Test
  void lookingTakesNothing() {
    for (int i = 0; i < 10; i++) {
      assertThat(limiter.look("a")).isEmpty();
    }
    while (limiter.take("a").isEmpty()) {
      // takes all
    }
    assertThat(limiter.look("a")).contains(Duration.ofMillis(500));
  }

  @Test
  void zeroIsNoLimit() {
    RateLimiter unlimited = new RateLimiter(0, 1, () -> now);
    for (int i = 0; i < 1000; i++) {
      assertThat(unlimited.take("a")).isEmpty();
    }
  }

  @Test
  void namesWithoutEndAreForgotten() {
    for (int i = 0; i < 200_000; i++) {
      var _ = limiter.take("name-" + i);
    }
    assertThat(limiter.size()).isLessThanOrEqualTo(100_000);
  }

  @Test
  void whatIsFullAgainIsForgotten() {
    for (int i = 0; i < 10; i++) {
      var _ = limiter.take("name-" + i);
    }
    pass(Duration.ofSeconds(3));
    assertThat(limiter.size()).isZero();
  }

  @Test
  void wrongSettingsAreRefused() {
    assertThatThrownBy(() -> new RateLimiter(-1, 1, () -> now))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new RateLimiter(1, 0, () -> now))
        .isInstanceOf(IllegalArgumentException.class);
  }

  private void pass(Duration time) {
    now += time.toNanos();
  }
}
