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
}
