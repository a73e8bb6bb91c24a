package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

// Goal: how many runs a row gets, and in which order. Method: rows that only move a clock.
final class MeasurementTest {
  private final List<String> taken = new ArrayList<>();
  private long now;

  @Test
  void oursAndRawTakeTurnsAfterTheWarmUp() throws Exception {
    Result result = measure(OptionalInt.of(3), row(2, 1, Duration.ZERO));
    assertThat(taken)
        .containsExactly("ours", "raw", "ours", "raw", "ours", "raw", "ours", "raw", "ours", "raw");
    // The two of the warm-up do not count.
    assertThat(result.ours()).isEqualTo(new Percentiles(4, 5, 5, 3));
    assertThat(result.raw()).contains(new Percentiles(40, 50, 50, 3));
    assertThat(result.ratio()).hasValue(0.1);
  }

  @Test
  void warmUpIsWholeWhereManyRunsCount() throws Exception {
    measure(OptionalInt.of(200), row(1000, 1, Duration.ZERO));
    assertThat(taken.stream().filter("ours"::equals)).hasSize(1200);
  }

  @Test
  void longWarmUpEndsWithItsTime() throws Exception {
    measure(OptionalInt.empty(), row(1000, 10, Duration.ofSeconds(10)));
    assertThat(taken.stream().filter("ours"::equals)).hasSize(3 + 10);
  }

  @Test
  void noMoreRunsWarmUpThanCountWhereTheyAreFew() throws Exception {
    measure(OptionalInt.of(1), row(100, 1, Duration.ZERO));
    assertThat(taken).containsExactly("ours", "raw", "ours", "raw");
  }

  @Test
  void thereAreTwoHundredRunsWhereTheyFitIntoAMinute() throws Exception {
    assertThat(measure(OptionalInt.empty(), row(0, 10, Duration.ofMillis(200))).ours().count())
        .isEqualTo(200);
  }

  @Test
  void longRunsEndWithTheMinute() throws Exception {
    assertThat(measure(OptionalInt.empty(), row(0, 10, Duration.ofSeconds(2))).ours().count())
        .isEqualTo(30);
  }

  @Test
  void veryLongRunsAreAsManyAsTheRowWants() throws Exception {
    assertThat(measure(OptionalInt.empty(), row(0, 10, Duration.ofSeconds(20))).ours().count())
        .isEqualTo(10);
  }

  @Test
  void aRowNeedsNoRawPrimitive() throws Exception {
    Result result =
        measure(OptionalInt.of(2), new FakeRow(spec(0, 1), Row.Runs.of(() -> take("ours", 0))));
    assertThat(taken).containsExactly("ours", "ours");
    assertThat(result.raw()).isEmpty();
    assertThat(result.ratio()).isEmpty();
  }

  private Result measure(OptionalInt asked, Row row) throws IOException, InterruptedException {
    Path none = Path.of("none");
    try (Lab lab = new Lab(none, none, List.of("none"), none, true)) {
      return new Measurement(asked, () -> now).take(row, lab);
    }
  }

  private Row row(int warmUp, int leastRuns, Duration eachTakes) {
    return new FakeRow(
        spec(warmUp, leastRuns),
        Row.Runs.of(() -> take("ours", eachTakes.toNanos()), () -> 10 * take("raw", 0)));
  }

  private static Row.Spec spec(int warmUp, int leastRuns) {
    return new Row.Spec("fake", "ms", Better.LOWER, Floor.p50(1), warmUp, leastRuns);
  }

  /** Returns how many of its kind were taken. */
  private double take(String kind, long nanos) {
    taken.add(kind);
    now += nanos;
    return taken.stream().filter(kind::equals).count();
  }

  private record FakeRow(Spec spec, Runs runs) implements Row {
    @Override
    public Runs start(Lab lab) {
      return runs;
    }
  }
}
