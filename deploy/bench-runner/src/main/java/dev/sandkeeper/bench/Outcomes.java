package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionEvent;

/** Holds executions to what they were for: a figure of something that failed says nothing. */
final class Outcomes {
  private Outcomes() {}

  /**
   * Does nothing when a program exited with 0.
   *
   * @throws BenchException when it ended otherwise
   */
  static void requireSuccess(ExecutionEvent.Finished finished) {
    if (!finished.succeeded()) {
      throw new BenchException("an execution failed: " + finished);
    }
  }
}
