package dev.sandkeeper.bench;

import java.util.Arrays;

/**
 * A figure's runs in short. A percentile is by nearest rank, on the runs from good to bad: so many
 * of a hundred runs were this good or better.
 *
 * @param p50 the median
 * @param p95 what 95 of 100 runs kept
 * @param p99 what 99 of 100 runs kept
 * @param count how many runs there were
 */
record Percentiles(double p50, double p95, double p99, int count) {

  /**
   * Sums runs up.
   *
   * @param values one for each run, at least one
   * @param better which of them are the good ones
   */
  static Percentiles of(double[] values, Better better) {
    if (values.length == 0) {
      throw new IllegalArgumentException("values: none (expected: at least one)");
    }
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return new Percentiles(
        at(sorted, better, 50), at(sorted, better, 95), at(sorted, better, 99), sorted.length);
  }

  private static double at(double[] sorted, Better better, int percent) {
    // In whole numbers: 0.95 * 20 is a little more than 19.
    int rank = Math.ceilDiv(percent * sorted.length, 100);
    return switch (better) {
      case LOWER -> sorted[rank - 1];
      case HIGHER -> sorted[sorted.length - rank];
    };
  }
}
