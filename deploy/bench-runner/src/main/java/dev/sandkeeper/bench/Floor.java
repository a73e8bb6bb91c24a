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
    RATIO,
    /** Our median less the raw one. */
    ADDED,
    /** Nothing: it is enough that no run fails. */
    NONE
  }

  /** Returns a bound on our median, in the row's unit. */
  static Floor p50(double bound) {
    return new Floor(Of.P50, bound);
  }

  /** Returns a bound on ours to raw. */
  static Floor ratio(double bound) {
    return new Floor(Of.RATIO, bound);
  }

  /** Returns a bound on what ours adds to raw, in the row's unit. */
  static Floor added(double bound) {
    return new Floor(Of.ADDED, bound);
  }

  /** Returns a floor that every result holds. */
  static Floor none() {
    return new Floor(Of.NONE, 0);
  }

  /** Returns whether a result holds it. */
  boolean isMetBy(Result result) {
    return switch (of) {
      case P50 -> holds(result, result.ours().p50());
      case RATIO -> holds(result, result.ratio().orElse(Double.NaN));
      case ADDED -> holds(result, result.added().orElse(Double.NaN));
      case NONE -> true;
    };
  }

  private boolean holds(Result result, double value) {
    return switch (result.spec().better()) {
      case LOWER -> value <= bound;
      case HIGHER -> value >= bound;
    };
  }
}
