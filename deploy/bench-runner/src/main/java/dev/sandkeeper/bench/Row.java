package dev.sandkeeper.bench;

import java.io.IOException;
import java.util.OptionalDouble;

/** One figure: how to take a run of ours, and a run of the raw primitive it is compared with. */
interface Row {

  /** Returns what the figure is. */
  Spec spec();

  /** Starts what the runs need; the {@link Lab} ends it after the last one. */
  void prepare() throws IOException, InterruptedException;

  /**
   * Takes a run of ours.
   *
   * @return the value, in the row's unit
   * @throws BenchException when what was measured did not do what it should
   */
  double sample() throws IOException, InterruptedException;

  /**
   * Takes a run of the raw primitive.
   *
   * @return the value, in the row's unit; empty when there is no such primitive
   */
  default OptionalDouble rawSample() throws IOException, InterruptedException {
    return OptionalDouble.empty();
  }

  /**
   * What a figure is.
   *
   * @param name by which it is chosen and found in results
   * @param unit of its values
   * @param better which values are the good ones
   * @param floor what it must hold
   * @param warmUp how many runs are taken before the first that counts
   * @param leastRuns how many runs count at least, also when they take more than the row's time
   */
  record Spec(String name, String unit, Better better, Floor floor, int warmUp, int leastRuns) {}
}
