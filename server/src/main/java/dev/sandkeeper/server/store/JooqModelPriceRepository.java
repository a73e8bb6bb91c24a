package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.MODEL_PRICE_CREATE;
import static dev.sandkeeper.jooq.Tables.MODEL_PRICE_VERSION;

import dev.sandkeeper.jooq.tables.records.ModelPriceCreateRecord;
import dev.sandkeeper.jooq.tables.records.ModelPriceVersionRecord;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.ModelPrice;
import dev.sandkeeper.server.ledger.ModelPriceRepository;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.impl.DSL;

/** The price book of models in {@code model_price_version}. */
final class JooqModelPriceRepository implements ModelPriceRepository {
  private final DSLContext context;

  JooqModelPriceRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Creation create(Transaction transaction, ModelPrice price, Instant now) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    ModelPriceCreateRecord answer =
        inside
            .selectFrom(
                MODEL_PRICE_CREATE(
                    price.model(),
                    price.usdPerMillionInputTokens(),
                    price.usdPerMillionCachedInputTokens(),
                    price.usdPerMillionOutputTokens(),
                    price.startTime(),
                    now))
            .fetchSingle();
    return switch (answer.getOutcome()) {
      case "CREATED" ->
          new Creation.Created(
              inside
                  .selectFrom(MODEL_PRICE_VERSION)
                  .where(
                      MODEL_PRICE_VERSION.MODEL_PRICE_VERSION_ID.eq(
                          answer.getModelPriceVersionId()))
                  .fetchSingle(JooqModelPriceRepository::toPrice));
      case "TOO_EARLY" -> new Creation.TooEarly(answer.getEarliestStartTime());
      case "NOT_LAST" -> new Creation.NotLast();
      default -> throw StoreErrors.unexpected("model_price_create", answer.getOutcome());
    };
  }

  @Override
  public List<ModelPrice> list(Optional<String> model) {
    return context
        .selectFrom(MODEL_PRICE_VERSION)
        .where(model.<Condition>map(MODEL_PRICE_VERSION.MODEL::eq).orElse(DSL.noCondition()))
        .orderBy(MODEL_PRICE_VERSION.MODEL, MODEL_PRICE_VERSION.START_TIME)
        .fetch(JooqModelPriceRepository::toPrice);
  }

  @Override
  public Optional<ModelPrice> find(String model, Instant time) {
    return context
        .selectFrom(MODEL_PRICE_VERSION)
        .where(
            MODEL_PRICE_VERSION.MODEL.eq(model),
            MODEL_PRICE_VERSION.START_TIME.le(time),
            MODEL_PRICE_VERSION.END_TIME.isNull().or(MODEL_PRICE_VERSION.END_TIME.gt(time)))
        .fetchOptional(JooqModelPriceRepository::toPrice);
  }

  private static ModelPrice toPrice(ModelPriceVersionRecord row) {
    return new ModelPrice(
        row.getModelPriceVersionId().toString(),
        row.getModel(),
        row.getUsdPerMillionInputTokens(),
        row.getUsdPerMillionCachedInputTokens(),
        row.getUsdPerMillionOutputTokens(),
        row.getStartTime(),
        Optional.ofNullable(row.getEndTime()));
  }
}
