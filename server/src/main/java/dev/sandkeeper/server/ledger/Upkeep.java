package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Transactions;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What is done with cost records now and then: they are rolled up by the hour, months are made
 * ahead, and old ones closed. Any number of servers may do it; in the database one at a time does.
 */
public final class Upkeep {
  private static final Logger logger = LoggerFactory.getLogger(Upkeep.class);
  private static final int RECORDS_AT_ONCE = 10_000;
  private static final int MONTHS_AHEAD = 3;

  private final Transactions transactions;
  private final UpkeepRepository repository;
  private final BillingClock clock;
  private final int keepMonths;

  /**
   * Makes it.
   *
   * @param keepMonths how many months of records are kept beside the present one; 0 for all
   */
  public Upkeep(
      Transactions transactions, UpkeepRepository repository, BillingClock clock, int keepMonths) {
    this.transactions = transactions;
    this.repository = repository;
    this.clock = clock;
    this.keepMonths = keepMonths;
  }

  /** Rolls up all records whose transactions are over, as far as none older still runs. */
  public void fold() {
    boolean more = true;
    while (more) {
      more = transactions.single(tx -> repository.fold(tx, RECORDS_AT_ONCE));
    }
  }

  /** Makes the months that are missing and closes those that are too old. */
  public void tendMonths() {
    int made = transactions.call(tx -> repository.makeMonths(tx, clock.now(), MONTHS_AHEAD));
    if (made > 0) {
      logger.atInfo().addKeyValue("months", made).log("Made partitions for cost records");
    }
    if (keepMonths > 0) {
      closeMonths();
    }
  }

  private void closeMonths() {
    UpkeepRepository.Closing closing;
    do {
      closing =
          transactions.call(tx -> repository.closeMonth(tx, firstKept(clock.now()), clock.now()));
      switch (closing) {
        case CLOSED -> logger.info("Closed a month of cost records");
        case NONE -> {}
        case OPEN_HOLD, NOT_FOLDED ->
            logger
                .atWarn()
                .addKeyValue("because", closing)
                .log("A month of cost records cannot be closed yet");
      }
    } while (closing == UpkeepRepository.Closing.CLOSED);
  }

  private Instant firstKept(Instant now) {
    return now.atZone(ZoneOffset.UTC)
        .truncatedTo(ChronoUnit.DAYS)
        .withDayOfMonth(1)
        .minusMonths(keepMonths)
        .toInstant();
  }
}
