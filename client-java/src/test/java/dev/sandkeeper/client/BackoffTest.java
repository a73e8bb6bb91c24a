package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

class BackoffTest {
  @Test
  void waitsDoubleToTheLongestAndBeginAnewAfterAReset() {
    Backoff backoff = new Backoff(Duration.ofMillis(100), Duration.ofMillis(500), new Random(1));

    for (int round = 0; round < 100; round++) {
      for (int millis : new int[] {100, 200, 400, 500, 500}) {
        assertThat(backoff.next(Optional.empty()))
            .isBetween(Duration.ofMillis(millis / 2), Duration.ofMillis(millis));
      }
      backoff.reset();
    }
  }

  @Test
  void waitsAreLeftToChance() {
    Random random = new Random(1);
    assertThat(
            java.util.stream.Stream.generate(() ->
                    new Backoff(Duration.ofMillis(100), Duration.ofSeconds(5), random)
                        .next(Optional.empty()))
                .limit(100)
                .distinct())
        .hasSizeGreaterThan(90);
  }

  @Test
  void whatTheServerAsksForIsTheLeast() {
    Backoff backoff = new Backoff(Duration.ofMillis(100), Duration.ofSeconds(5), new Random(1));

    assertThat(backoff.next(Optional.of(Duration.ofSeconds(9)))).isEqualTo(Duration.ofSeconds(9));
    assertThat(backoff.next(Optional.of(Duration.ZERO)))
        .isBetween(Duration.ofMillis(100), Duration.ofMillis(200));
  }
}
