package dev.sandkeeper.server.execution;

import java.io.ByteArrayOutputStream;

/** Keeps the beginning of an output stream. Belongs to one thread. */
final class OutputCapture {
  private static final int MAX_BYTES = 256 * 1024;

  private final ByteArrayOutputStream kept = new ByteArrayOutputStream();
  private boolean cut;

  /** Adds what was written, as far as it fits. */
  void add(byte[] data) {
    int fitting = Math.min(data.length, MAX_BYTES - kept.size());
    kept.write(data, 0, fitting);
    cut |= fitting < data.length;
  }

  /** Returns what is kept. */
  CapturedOutput captured() {
    return new CapturedOutput(kept.toByteArray(), cut);
  }
}
