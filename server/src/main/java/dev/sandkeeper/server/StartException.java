package dev.sandkeeper.server;

import org.jspecify.annotations.Nullable;

/** The server cannot start, for a reason that an operator can mend and the message names. */
final class StartException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  StartException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
