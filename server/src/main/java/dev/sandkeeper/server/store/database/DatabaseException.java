package dev.sandkeeper.server.store.database;

import org.jspecify.annotations.Nullable;

/** The database could not be made ready; the message says why and what to do. */
public final class DatabaseException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  DatabaseException(String message) {
    super(message);
  }

  DatabaseException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
