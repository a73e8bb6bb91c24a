package dev.sandkeeper.server.engine;

import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * A connection to a port of a sandbox: bytes, both ways. One thread may read while another writes;
 * a thread that is interrupted in either, or anybody who closes it, ends both.
 */
public interface EngineConnection extends AutoCloseable {

  /**
   * Waits for bytes.
   *
   * @param target gets at least one, and at most as many as it has room for
   * @return how many; -1 when the program has ended its side
   * @throws IOException when the connection is broken, or the sandbox has ended
   */
  int read(ByteBuffer target) throws IOException;

  /**
   * Sends all of the bytes, no faster than the program takes them.
   *
   * @throws IOException when the connection is broken, or the sandbox has ended
   */
  void write(ByteBuffer source) throws IOException;

  /** Tells the program that nothing more is sent; what it sends can still be read. */
  void endOutput() throws IOException;

  @Override
  void close();
}
