package dev.sandkeeper.server.egress.proxy;

import dev.sandkeeper.server.egress.RefusedException;
import dev.sandkeeper.server.egress.Verdict;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;

/**
 * Reads lines of HTTP/1.1: printable ASCII, tabs and bytes above ASCII, ended by CR and LF, nothing
 * else. What other programs forgive, one of them may read as the end of a line.
 */
final class HeadReader {
  private static final int MAX_BYTES = 32 * 1024;

  private final InputStream in;
  private int left = MAX_BYTES;

  HeadReader(InputStream in) {
    this.in = in;
  }

  /**
   * Returns the next line, without its end.
   *
   * @throws EOFException when the connection ends before
   * @throws RefusedException {@link Verdict#MALFORMED_REQUEST}, also when all lines together are
   *     too long
   */
  String line() throws IOException, RefusedException {
    StringBuilder line = new StringBuilder();
    int letter = next();
    while (letter != '\r') {
      if ((letter < ' ' && letter != '\t') || letter == 0x7f) {
        throw malformed();
      }
      line.append((char) letter);
      letter = next();
    }
    if (next() != '\n') {
      throw malformed();
    }
    return line.toString();
  }

  private int next() throws IOException, RefusedException {
    if (--left < 0) {
      throw malformed();
    }
    int letter = in.read();
    if (letter < 0) {
      throw new EOFException();
    }
    return letter;
  }

  static RefusedException malformed() {
    return new RefusedException(Verdict.MALFORMED_REQUEST);
  }
}
