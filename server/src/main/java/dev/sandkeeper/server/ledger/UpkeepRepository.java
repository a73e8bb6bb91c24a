package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;

/** Keeps cost records in order: by month, and summed by the hour. */
public interface UpkeepRepository {
  /** What became of a month that was to be closed. */
  enum Closing {
    /** Its records are gone, and what the invariants need stands in their place. */
    CLOSED,
    /** No month is that old. */
    NONE,
    /** Something may still be booked in it. */
    OPEN_HOLD,
    /** A record of it is not rolled up yet. */
    NOT_FOLDED
  }

  /**
   * Rolls up records that are not yet.
   *
   * @param maxRecords how many; the rest of the last one's transaction comes on top
   * @return whether there may be more
   */
  boolean fold(Transaction transaction, int maxRecords);

  /**
   * Makes the partitions of this month, of those after it, and of records that found none.
   *
   * @param ahead how many after it
   * @return how many were made
   */
  int makeMonths(Transaction transaction, Instant now, int ahead);

  /**
   * Closes the oldest month that there is.
   *
   * @param before the latest end of a month that is closed
   */
  Closing closeMonth(Transaction transaction, Instant before, Instant now);
}
