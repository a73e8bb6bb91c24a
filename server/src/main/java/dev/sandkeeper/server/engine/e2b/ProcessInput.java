package dev.sandkeeper.server.engine.e2b;

/** The way to the standard input of one process. One thread writes. */
interface ProcessInput extends AutoCloseable {
  /**
   * Writes; waits for room.
   *
   * @throws E2bException when it does not get there
   */
  void write(byte[] bytes) throws InterruptedException;

  /** Writes no more; the process's input stays open. */
  @Override
  void close();
}
