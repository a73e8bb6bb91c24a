package dev.sandkeeper.bench;

import java.util.Optional;
import java.util.OptionalDouble;

/**
 * What a row came to.
 *
 * @param spec the row
 * @param ours the runs through the server
 * @param raw the runs of the raw primitive, where there is one
 */
record Result(Row.Spec spec, Percentiles ours, Optional<Percentiles> raw) {

  /** Returns our median divided by the raw one's. */
  OptionalDouble ratio() {
    return raw.isPresent()
        ? OptionalDouble.of(ours.p50() / raw.get().p50())
        : OptionalDouble.empty();
  }

  /** Returns our median less the raw one. */
  OptionalDouble added() {
    return raw.isPresent()
        ? OptionalDouble.of(ours.p50() - raw.get().p50())
        : OptionalDouble.empty();
  }

  /** Returns whether the row's floor is held. */
  boolean met() {
    return spec.floor().isMetBy(this);
  }
}
