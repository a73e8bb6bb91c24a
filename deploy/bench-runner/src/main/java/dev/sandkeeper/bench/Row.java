package dev.sandkeeper.bench;

import java.io.IOException;
import java.util.Optional;

/** One figure. */
interface Row {

  /** Returns what the figure is. */
  Spec spec();

  /**
   * Starts what the runs need.
   *
   * @param lab what starts it, and ends it after the last run
   */
  Runs start(Lab lab) throws IOException, InterruptedException;

  /**
   * What a figure is.
   *
   * @param name by which it is chosen and found in results
   * @param unit of its values
   * @param better which values are the good ones
   * @param floor what it must hold
   * @param warmUp how many runs are taken before the first that counts, if there is time for them
   * @param leastRuns how many runs count at least, also when they take more than the row's time
   */
  record Spec(String name, String unit, Better better, Floor floor, int warmUp, int leastRuns) {}

  /**
   * What is measured again and again.
   *
   * @param ours through the server
   * @param raw what it is compared with, where there is such a thing
   */
  record Runs(Run ours, Optional<Run> raw) {

    /** Returns runs with nothing to compare them with. */
    static Runs of(Run ours) {
      return new Runs(ours, Optional.empty());
    }

    /** Returns runs that take turns with those of the raw primitive. */
    static Runs of(Run ours, Run raw) {
      return new Runs(ours, Optional.of(raw));
    }
  }

  /** A run. */
  @FunctionalInterface
  interface Run {

    /**
     * Takes it.
     *
     * @return its value, in the row's unit
     * @throws BenchException when what was measured did not do what it should
     */
    double take() throws IOException, InterruptedException;
  }
}
