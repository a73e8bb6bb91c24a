package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps what models' tokens cost. */
public interface ModelPriceRepository {

  /** What became of a new price. */
  sealed interface Creation {
    /** It is in the book. */
    record Created(ModelPrice price) implements Creation {}

    /** It would start before now. */
    record TooEarly(Instant earliestStart) implements Creation {}

    /** A version starts then or later. */
    record NotLast() implements Creation {}
  }

  /**
   * Adds a model's next version and ends the one before it; waits for another call that does so.
   */
  Creation create(Transaction transaction, ModelPrice price, Instant now);

  /** Returns the versions by model and start; of one model, or of all when it is empty. */
  List<ModelPrice> list(Optional<String> model);

  /** Returns the version of a model that is in force at a time. */
  Optional<ModelPrice> find(String model, Instant time);
}
