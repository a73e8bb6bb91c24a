package dev.sandkeeper.bench;

/**
 * What a figure must hold.
 *
 * @param of what is held against the bound
 * @param bound the worst value that is still good, inclusive
 */
record Floor(Of of, double bound) {

  /** What is held against the bound. */
  enum Of {
    /** Our median. */
    P50,
    /** Our median divided by the raw one's. */
    RATIO
  }

  /** Returns a bound on our median, in the row's unit. */
  static Floor p50(double bound) {
    return new Floor(Of.P50, bound);
  }

  /** Returns a bound on ours to raw. */
  static Floor ratio(double bound) {
    return new Floor(Of.RATIO, bound);
  }

  /** Returns whether a result holds it. */
  boolean isMetBy(Result result) {
    double value =
        switch (of) {
          case P50 -> result.ours().p50();
          case RATIO -> result.ratio().orElse(Double.NaN);
        };
    return switch (result.spec().better()) {
      case LOWER -> value <= bound;
      case HIGHER -> value >= bound;
    };
  }
}
