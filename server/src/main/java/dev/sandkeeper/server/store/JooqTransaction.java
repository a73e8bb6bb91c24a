package dev.sandkeeper.server.store;

import dev.sandkeeper.server.base.Transaction;
import org.jooq.DSLContext;

/**
 * An open transaction of {@link JooqTransactions}.
 *
 * @param context runs statements inside it
 */
record JooqTransaction(DSLContext context) implements Transaction {
  /**
   * Returns what runs statements inside the given transaction.
   *
   * @throws IllegalArgumentException when it is not one of this store's
   */
  static DSLContext contextOf(Transaction transaction) {
    if (transaction instanceof JooqTransaction jooq) {
      return jooq.context();
    }
    throw new IllegalArgumentException(
        "transaction: " + transaction.getClass().getName() + " (expected: one of this store's)");
  }

  /**
   * Returns what runs statements inside the given transaction, once no other holds the same name:
   * to count, and to add only below a bound.
   */
  static DSLContext lockedContextOf(Transaction transaction, String name) {
    DSLContext inside = contextOf(transaction);
    // By itself: what is counted in the same statement is what was there before the lock.
    inside.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", name);
    return inside;
  }
}
