package dev.sandkeeper.server.store;

import dev.sandkeeper.server.base.Transaction;
import org.jooq.DSLContext;

/** Lets tests of other rooms write rows inside a transaction. */
public final class StoreAccess {
  private StoreAccess() {}

  /** Returns what runs statements inside the given transaction. */
  public static DSLContext contextOf(Transaction transaction) {
    return JooqTransaction.contextOf(transaction);
  }
}
