package dev.sandkeeper.server.store;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.sql.SQLTransientConnectionException;
import java.time.Duration;
import java.util.Optional;
import org.jooq.exception.DataAccessException;
import org.jspecify.annotations.Nullable;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/**
 * Reads what the database complains of.
 *
 * <p>The codes are PostgreSQL's (its manual, appendix "PostgreSQL Error Codes").
 */
final class StoreErrors {
  private static final String SERIALIZATION_FAILURE = "40001";
  private static final String DEADLOCK_DETECTED = "40P01";
  private static final String CONNECTION_CLASS = "08";

  /** No more connections, memory or disk: it may be better in a moment. */
  private static final String RESOURCES_CLASS = "53";

  /** A standby that is not, or no longer, the primary. */
  private static final String READ_ONLY = "25006";

  // Shutdown by the administrator, crash of another process, still starting.
  private static final String OPERATOR_CLASS = "57P";

  /** The server stood still in a transaction, which the database has ended. */
  private static final String IDLE_TRANSACTION = "25P03";

  private static final String STATEMENT_TIMEOUT = "57014";
  private static final Duration RETRY_DELAY = Duration.ofSeconds(1);

  private StoreErrors() {}

  /** Makes the fault of a function of the database that answered with a word not known here. */
  static IllegalStateException unexpected(String function, String outcome) {
    return new IllegalStateException(function + " answered " + outcome);
  }

  /** Says whether the same work may succeed when it is run again at once. */
  static boolean isWorthRetrying(DataAccessException exception) {
    String state = exception.sqlState();
    return state.equals(SERIALIZATION_FAILURE) || state.equals(DEADLOCK_DETECTED);
  }

  /** Returns the name of the constraint that a statement broke. */
  static Optional<String> constraint(DataAccessException exception) {
    PSQLException cause = exception.getCause(PSQLException.class);
    @Nullable ServerErrorMessage message = cause == null ? null : cause.getServerErrorMessage();
    return Optional.ofNullable(message).map(ServerErrorMessage::getConstraint);
  }

  /** Returns what the caller is told; the given exception itself where it is a bug of ours. */
  static RuntimeException translate(DataAccessException exception) {
    String state = exception.sqlState();
    if (isWorthRetrying(exception)) {
      return SandkeeperException.of(
              ErrorReason.CONCURRENT_CHANGE, "Other calls changed the same thing; try again.")
          .retryAfter(RETRY_DELAY)
          .causedBy(exception);
    }
    if (state.equals(STATEMENT_TIMEOUT)) {
      return SandkeeperException.of(
              ErrorReason.DEADLINE_EXCEEDED, "The database took too long; try again.")
          .causedBy(exception);
    }
    if (state.startsWith(CONNECTION_CLASS)
        || state.startsWith(OPERATOR_CLASS)
        || state.startsWith(RESOURCES_CLASS)
        || state.equals(READ_ONLY)
        || state.equals(IDLE_TRANSACTION)
        || exception.getCause(SQLTransientConnectionException.class) != null) {
      return SandkeeperException.of(
              ErrorReason.DATABASE_UNAVAILABLE, "The database cannot be reached; try again.")
          .retryAfter(RETRY_DELAY)
          .causedBy(exception);
    }
    return exception;
  }
}
