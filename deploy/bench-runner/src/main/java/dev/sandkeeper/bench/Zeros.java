package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.SandboxHandle;
import java.io.IOException;
import java.util.List;

/** A program that writes as fast as it can: large blocks, made of nothing. */
final class Zeros {
  static final long MIB = 1024 * 1024;
  static final int BLOCK_BYTES = 256 * 1024;
  private static final String PROGRAM = "dd";

  private Zeros() {}

  /**
   * Starts it in a sandbox.
   *
   * @param bytes how much it writes; whole blocks
   */
  static ExecutionStream in(SandboxHandle sandbox, long bytes) {
    return sandbox.command(PROGRAM, arguments(bytes)).stream();
  }

  /**
   * Starts it on this machine.
   *
   * @param bytes how much it writes; whole blocks
   */
  static Process here(long bytes) throws IOException {
    ProcessBuilder builder = new ProcessBuilder(PROGRAM);
    builder.command().addAll(List.of(arguments(bytes)));
    return builder.start();
  }

  private static String[] arguments(long bytes) {
    return new String[] {
      "if=/dev/zero",
      "bs=" + BLOCK_BYTES,
      "count=" + Math.divideExact(bytes, BLOCK_BYTES),
      "status=none"
    };
  }
}
