package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Transaction;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps the price book. */
public interface PriceRepository {

  /** What became of a new price. */
  sealed interface Creation {
    /** It is in the book. */
    record Created(Price price) implements Creation {}

    /** It starts before the earliest time it may. */
    record TooEarly(Instant earliestStart) implements Creation {}

    /** A version starts then or later. */
    record NotLast() implements Creation {}
  }

  /**
   * Adds a tier's next version and ends the one before it; waits for another call that does so.
   *
   * @param lead how far from now it must start, unless it is the tier's first
   */
  Creation create(
      Transaction transaction,
      String tier,
      PriceBasis basis,
      Rates rates,
      Rates pausedRates,
      Instant startTime,
      Duration lead,
      Instant now);

  /** Returns the versions by tier and start; of one tier, or of all when it is empty. */
  List<Price> list(Optional<String> tier);

  /** Returns the version of a tier that is in force at a time. */
  Optional<Price> find(String tier, Instant time);
}
