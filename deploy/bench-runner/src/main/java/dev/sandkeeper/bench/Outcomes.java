package dev.sandkeeper.bench;

import dev.sandkeeper.v1.Finished;

/** Holds executions to what they were for: a figure of something that failed says nothing. */
final class Outcomes {
  private Outcomes() {}

  /**
   * Does nothing when a program exited with 0.
   *
   * @throws BenchException when it ended otherwise
   */
  static void requireSuccess(Finished finished) {
    if (!finished.hasExitCode() || finished.getExitCode() != 0) {
      throw new BenchException("an execution failed: " + finished.toString().replace('\n', ' '));
    }
  }
}
