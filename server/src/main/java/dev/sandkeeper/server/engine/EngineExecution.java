package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.ExecutionId;

/** A handle on a started execution. */
public interface EngineExecution {

  /** Returns the id given at the start. */
  ExecutionId id();

  /**
   * Sends a signal to every process of the execution. Does nothing once it has finished.
   *
   * @param number the Linux signal number, 1 to 64
   */
  void signal(int number);

  /**
   * Gives the program more to read, behind its first input and what was sent before. What was taken
   * is delivered whatever becomes of this engine object. Waits a few seconds while too much is
   * unread.
   *
   * @param offset how many bytes were sent before; what was taken already is not taken again
   * @param data not empty
   * @return how many bytes were taken so far
   * @throws EngineInputException when not all of it is taken, and then nothing is
   * @throws EngineException {@code PAUSED} while the sandbox is paused
   */
  long sendInput(long offset, byte[] data);

  /**
   * Ends the input behind what was sent; in a terminal, types what means that. Idempotent.
   *
   * @throws EngineInputException {@code NOT_OPEN}, {@code OVER} or {@code UNREACHABLE}
   * @throws EngineException {@code PAUSED} while the sandbox is paused
   */
  void closeInput();

  /**
   * Gives the terminal another size, which its foreground programs hear of.
   *
   * @param rows 1 to 65,535
   * @param columns 1 to 65,535
   * @throws EngineInputException {@code NO_TERMINAL}, {@code OVER} or {@code UNREACHABLE}
   * @throws EngineException {@code PAUSED} while the sandbox is paused
   */
  void resizeTerminal(int rows, int columns);
}
