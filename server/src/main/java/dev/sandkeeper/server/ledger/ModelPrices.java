package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The price book of models: what their tokens cost, and since when. Versions never change. */
public final class ModelPrices {
  private static final BigDecimal MAX_RATE = new BigDecimal(100_000);
  private static final int MAX_SCALE = 12;

  private final ModelPriceRepository repository;

  /** Makes the price book. */
  public ModelPrices(ModelPriceRepository repository) {
    this.repository = repository;
  }

  /**
   * Adds a version of a model's price; the one before it ends where it starts.
   *
   * @param price its id and end are ignored
   * @throws SandkeeperException with {@link ErrorReason#INVALID_FIELD} for a wrong rate, {@link
   *     ErrorReason#PRICE_START_REFUSED} when it starts before now, {@link
   *     ErrorReason#ALREADY_EXISTS} when a version starts then or later
   */
  public ModelPrice create(Transaction transaction, ModelPrice price, Instant now) {
    List<FieldViolation> violations = new ArrayList<>();
    check("usd_per_million_input_tokens", price.usdPerMillionInputTokens(), violations);
    check(
        "usd_per_million_cached_input_tokens", price.usdPerMillionCachedInputTokens(), violations);
    check("usd_per_million_output_tokens", price.usdPerMillionOutputTokens(), violations);
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
    return switch (repository.create(transaction, price, now)) {
      case ModelPriceRepository.Creation.Created created -> created.price();
      case ModelPriceRepository.Creation.TooEarly tooEarly ->
          throw SandkeeperException.of(
                  ErrorReason.PRICE_START_REFUSED,
                  "The price must not start in the past; what was spent keeps its price.")
              .with("model", price.model())
              .with("earliestStartTime", tooEarly.earliestStart());
      case ModelPriceRepository.Creation.NotLast _ ->
          throw SandkeeperException.of(
                  ErrorReason.ALREADY_EXISTS,
                  "A price of the model starts then or later; prices never change.")
              .with("model", price.model());
    };
  }

  /** Returns the versions by model and start; of one model, or of all when it is empty. */
  public List<ModelPrice> list(Optional<String> model) {
    return repository.list(model);
  }

  /**
   * Returns the price of a model at a time.
   *
   * @throws SandkeeperException with {@link ErrorReason#PRICE_NOT_FOUND} when none is in force then
   */
  public ModelPrice get(String model, Instant time) {
    return repository
        .find(model, time)
        .orElseThrow(() ->
            SandkeeperException.of(
                    ErrorReason.PRICE_NOT_FOUND, "The model has no price at that time.")
                .with("model", model)
                .with("time", time));
  }

  private static void check(String field, BigDecimal rate, List<FieldViolation> violations) {
    if (rate.signum() < 0
        || rate.compareTo(MAX_RATE) > 0
        || rate.stripTrailingZeros().scale() > MAX_SCALE) {
      violations.add(
          new FieldViolation(
              "model_price." + field,
              rate.toPlainString()
                  + " (expected: 0 to 100000 USD with at most 12 digits behind the point)"));
    }
  }
}
