package dev.sandkeeper.server.store;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.UpkeepRepository;
import java.time.Instant;
import org.jooq.DSLContext;

/** Calls the functions that keep cost records in order; they alone may. */
final class JooqUpkeepRepository implements UpkeepRepository {
  @Override
  public boolean fold(Transaction transaction, int maxRecords) {
    return Routines.ledgerFold(JooqTransaction.contextOf(transaction).configuration(), maxRecords);
  }

  @Override
  public int makeMonths(Transaction transaction, Instant now, int ahead) {
    return Routines.ledgerMakeMonths(withTime(transaction).configuration(), now, ahead);
  }

  @Override
  public Closing closeMonth(Transaction transaction, Instant before, Instant now) {
    return Closing.valueOf(
        Routines.ledgerCloseMonth(withTime(transaction).configuration(), before, now));
  }

  /** A month takes longer than any call may. */
  private static DSLContext withTime(Transaction transaction) {
    DSLContext context = JooqTransaction.contextOf(transaction);
    context.execute("set local statement_timeout = '1h'");
    return context;
  }
}
