package dev.sandkeeper.server.store.database;

import java.time.Duration;

/**
 * Bounds of the connections to the database.
 *
 * @param size how many connections there are at most, at least 1
 * @param acquireTimeout how long a caller waits for one, at least 250 ms
 * @param statementTimeout how long one statement may run, at least 1 ms
 * @param transactionPause how long nothing may be heard within a transaction, at least 1 ms: a
 *     server that stands still in one would keep its locks, and all others waiting
 */
public record PoolSettings(
    int size, Duration acquireTimeout, Duration statementTimeout, Duration transactionPause) {
  /** Checks the ranges. */
  public PoolSettings {
    if (size < 1) {
      throw new IllegalArgumentException("size: " + size + " (expected: >= 1)");
    }
    if (acquireTimeout.toMillis() < 250) {
      throw new IllegalArgumentException(
          "acquireTimeout: " + acquireTimeout + " (expected: >= 250 ms)");
    }
    if (statementTimeout.toMillis() < 1) {
      throw new IllegalArgumentException(
          "statementTimeout: " + statementTimeout + " (expected: >= 1 ms)");
    }
    if (transactionPause.toMillis() < 1) {
      throw new IllegalArgumentException(
          "transactionPause: " + transactionPause + " (expected: >= 1 ms)");
    }
  }
}
