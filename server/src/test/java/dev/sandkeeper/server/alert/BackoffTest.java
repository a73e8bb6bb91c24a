package dev.sandkeeper.server.alert;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class BackoffTest {
  private final Backoff backoff = new Backoff(new Random(7));

  @ParameterizedTest
  @CsvSource({
    "1, PT1S",
    "2, PT2S",
    "3, PT4S",
    "10, PT512S",
    "12, PT2048S",
    "13, PT1H",
    "14, PT1H",
    "1000, PT1H",
    "2147483647, PT1H"
  })
  void waitDoublesUpToAnHourWithItsUpperHalfLeftToChance(int failures, Duration full) {
    assertThat(IntStream.range(0, 200).mapToObj(_ -> backoff.after(failures)))
        .allMatch(wait -> wait.compareTo(full) <= 0 && wait.compareTo(full.dividedBy(2)) >= 0)
        .satisfies(waits -> assertThat(waits.stream().distinct().count()).isGreaterThan(50));
  }
}
