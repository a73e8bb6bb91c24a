package dev.sandkeeper.bench;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.LongSupplier;

/**
 * How many runs a row gets: 200, or as many as fit into a minute but at least those the row wants;
 * or the number that was asked for.
 */
final class Measurement {
  static final int RUNS = 200;
  static final Duration TIME = Duration.ofMinutes(1);

  /** A warm-up ends with this time, however many runs it had. */
  static final Duration WARM_UP_TIME = Duration.ofSeconds(30);

  /** The raw primitive is a program of its own: it has no compiler that must get warm. */
  private static final int RAW_WARM_UP = 3;

  private final OptionalInt asked;
  private final LongSupplier nanoTime;

  /**
   * @param asked how many runs to take, whatever time that is
   * @param nanoTime a monotonic clock, in nanoseconds from any start
   */
  Measurement(OptionalInt asked, LongSupplier nanoTime) {
    this.asked = asked;
    this.nanoTime = nanoTime;
  }

  /** Takes the runs of a row, in turns ours and raw. */
  Result take(Row row, Lab lab) throws IOException, InterruptedException {
    Row.Spec spec = row.spec();
    Row.Runs runs = row.start(lab);
    warmUp(spec, runs);
    List<Double> ours = new ArrayList<>();
    List<Double> raw = new ArrayList<>();
    long start = nanoTime.getAsLong();
    while (wantsMore(spec, ours.size(), nanoTime.getAsLong() - start)) {
      ours.add(runs.ours().take());
      if (runs.raw().isPresent()) {
        raw.add(runs.raw().get().take());
      }
    }
    return new Result(
        spec,
        percentiles(ours, spec),
        raw.isEmpty() ? Optional.empty() : Optional.of(percentiles(raw, spec)));
  }

  private void warmUp(Row.Spec spec, Row.Runs runs) throws IOException, InterruptedException {
    // Who asks for few runs wants an answer soon.
    int count =
        asked.isPresent() && asked.getAsInt() < RUNS
            ? Math.min(spec.warmUp(), asked.getAsInt())
            : spec.warmUp();
    long start = nanoTime.getAsLong();
    for (int run = 0; run < count && nanoTime.getAsLong() - start < WARM_UP_TIME.toNanos(); run++) {
      runs.ours().take();
      if (runs.raw().isPresent() && run < RAW_WARM_UP) {
        runs.raw().get().take();
      }
    }
  }

  private boolean wantsMore(Row.Spec spec, int runs, long elapsedNanos) {
    if (asked.isPresent()) {
      return runs < asked.getAsInt();
    }
    return runs < spec.leastRuns() || (runs < RUNS && elapsedNanos < TIME.toNanos());
  }

  private static Percentiles percentiles(List<Double> values, Row.Spec spec) {
    return Percentiles.of(
        values.stream().mapToDouble(Double::doubleValue).toArray(), spec.better());
  }
}
