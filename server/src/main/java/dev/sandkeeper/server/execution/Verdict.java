package dev.sandkeeper.server.execution;

/** What is thought of a program's run. */
public enum Verdict {
  /** It exited with 0, and its output is right. */
  ACCEPTED,
  /** It exited with 0, and its output is not what was expected. */
  WRONG_ANSWER,
  /** It exited with something else, or by a signal, or could not be started. */
  RUNTIME_ERROR,
  /** It was ended at the time limit. */
  TIME_LIMIT,
  /** Its peak memory was measured above the limit, or the sandbox's was used up. */
  MEMORY_LIMIT,
  /** The check of its output broke. */
  CHECK_FAILED,
  /** It was not run, or nobody knows how it ended. */
  LOST
}
