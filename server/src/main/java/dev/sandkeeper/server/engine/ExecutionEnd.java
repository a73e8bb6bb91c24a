package dev.sandkeeper.server.engine;

import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * How an execution ended.
 *
 * @param reason why
 * @param exitCode 0 to 255 when the program exited by itself
 * @param signal the Linux number of the signal that ended it, when one did
 * @param cpuMicros processor time of its process tree as far as it was measured, in microseconds
 * @param peakMemoryBytes the largest resident size of any one process of it, in bytes
 */
public record ExecutionEnd(
    Reason reason,
    OptionalInt exitCode,
    OptionalInt signal,
    OptionalLong cpuMicros,
    OptionalLong peakMemoryBytes) {

  /** Why an execution ended. */
  public enum Reason {
    /** The program exited by itself; code that raised an error completed too. */
    COMPLETED,
    /** The deadline passed and the process tree was ended. */
    DEADLINE,
    /** A signal ended it: one sent through the engine, or the program's own. */
    SIGNALED,
    /** The kernel ended it because the sandbox had no memory left. */
    OUT_OF_MEMORY,
    /** The sandbox ended, and it with it. */
    SANDBOX_ENDED,
    /** The program could not be started: not found, not executable, or no such folder. */
    NOT_STARTED,
    /** The engine lost sight of it; it runs no longer and its result is not known. */
    LOST
  }

  /** Returns an end of which nothing but the reason is known. */
  public static ExecutionEnd of(Reason reason) {
    return new ExecutionEnd(
        reason,
        OptionalInt.empty(),
        OptionalInt.empty(),
        OptionalLong.empty(),
        OptionalLong.empty());
  }
}
