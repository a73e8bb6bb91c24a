package dev.sandkeeper.server.base;

import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Runs work in a database transaction: committed when the work returns, rolled back when it throws.
 *
 * <p>A serialization failure or a deadlock runs the work again, a bounded number of times, so the
 * work must have no effect outside the transaction. No engine or network call belongs inside.
 */
public interface Transactions {
  /**
   * Runs the work and returns what it returned, after the commit.
   *
   * @throws SandkeeperException with {@link ErrorReason#DATABASE_UNAVAILABLE} when the database is
   *     away or no connection came free in time
   */
  <T> T call(Function<Transaction, T> work);

  /**
   * Runs work that is one statement, committed by itself: as {@link #call}, with one round trip to
   * the database less.
   */
  <T> T single(Function<Transaction, T> statement);

  /** Runs work that returns nothing; otherwise as {@link #call}. */
  default void run(Consumer<Transaction> work) {
    call(transaction -> {
      work.accept(transaction);
      return Boolean.TRUE;
    });
  }
}
