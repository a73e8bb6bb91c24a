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
}
