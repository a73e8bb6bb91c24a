package dev.sandkeeper.bench;

import java.io.Serial;

/** Something that keeps a benchmark from being run; the message is for who runs it. */
final class BenchException extends RuntimeException {
  @Serial private static final long serialVersionUID = 1;

  BenchException(String message) {
    super(message);
  }
}
