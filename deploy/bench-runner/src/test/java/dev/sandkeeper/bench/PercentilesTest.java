package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class PercentilesTest {

  @Test
  void aPercentileIsTheRunOfItsRank() {
    assertThat(Percentiles.of(upTo(200), Better.LOWER))
        .isEqualTo(new Percentiles(100, 190, 198, 200));
  }

  @Test
  void aRankBetweenTwoRunsIsTheWorseOne() {
    // 0.95 * 10 is between the 9th and the 10th.
    assertThat(Percentiles.of(upTo(10), Better.LOWER)).isEqualTo(new Percentiles(5, 10, 10, 10));
  }

  @Test
  void aRankThatIsWholeIsNotRoundedUp() {
    assertThat(Percentiles.of(upTo(20), Better.LOWER).p95()).isEqualTo(19);
  }

  @Test
  void whereMoreIsBetterTheTailIsOfLowValues() {
    assertThat(Percentiles.of(upTo(200), Better.HIGHER))
        .isEqualTo(new Percentiles(101, 11, 3, 200));
  }

  @Test
  void theOrderOfRunsDoesNotMatter() {
    double[] values = {3, 1, 2};
    assertThat(Percentiles.of(values, Better.LOWER).p50()).isEqualTo(2);
    assertThat(values).containsExactly(3, 1, 2);
  }

  @Test
  void aSingleRunIsEveryPercentile() {
    assertThat(Percentiles.of(new double[] {7}, Better.HIGHER))
        .isEqualTo(new Percentiles(7, 7, 7, 1));
  }

  @Test
  void noRunsAreRefused() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Percentiles.of(new double[0], Better.LOWER))
        .withMessage("values: none (expected: at least one)");
  }

  private static double[] upTo(int count) {
    return IntStream.rangeClosed(1, count).asDoubleStream().toArray();
  }
}
