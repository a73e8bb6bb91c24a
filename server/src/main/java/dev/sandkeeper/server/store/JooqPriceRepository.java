package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.PRICE_CREATE;
import static dev.sandkeeper.jooq.Tables.PRICE_VERSION;

import dev.sandkeeper.jooq.tables.records.PriceCreateRecord;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.Price;
import dev.sandkeeper.server.ledger.PriceBasis;
import dev.sandkeeper.server.ledger.PriceRepository;
import dev.sandkeeper.server.ledger.Rates;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Record;
import org.jooq.SelectField;
import org.jooq.impl.DSL;

/** The price book in {@code price_version}. */
final class JooqPriceRepository implements PriceRepository {
  private static final List<SelectField<?>> COLUMNS =
      List.of(
          PRICE_VERSION.PRICE_VERSION_ID,
          PRICE_VERSION.TIER,
          PRICE_VERSION.BASIS,
          PRICE_VERSION.USD_PER_SECOND,
          PRICE_VERSION.USD_PER_CORE_SECOND,
          PRICE_VERSION.USD_PER_GIB_SECOND,
          PRICE_VERSION.PAUSED_USD_PER_SECOND,
          PRICE_VERSION.PAUSED_USD_PER_CORE_SECOND,
          PRICE_VERSION.PAUSED_USD_PER_GIB_SECOND,
          PRICE_VERSION.START_TIME,
          PRICE_VERSION.END_TIME);

  private final DSLContext context;

  JooqPriceRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Creation create(
      Transaction transaction,
      String tier,
      PriceBasis basis,
      Rates rates,
      Rates pausedRates,
      Instant startTime,
      Duration lead,
      Instant now) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    PriceCreateRecord answer =
        inside
            .selectFrom(
                PRICE_CREATE(
                    tier,
                    basis.name(),
                    rates.usdPerSecond(),
                    rates.usdPerCoreSecond(),
                    rates.usdPerGibSecond(),
                    pausedRates.usdPerSecond(),
                    pausedRates.usdPerCoreSecond(),
                    pausedRates.usdPerGibSecond(),
                    startTime,
                    lead.toMillis(),
                    now))
            .fetchSingle();
    return switch (answer.getOutcome()) {
      case "CREATED" ->
          new Creation.Created(
              inside
                  .select(COLUMNS)
                  .from(PRICE_VERSION)
                  .where(PRICE_VERSION.PRICE_VERSION_ID.eq(answer.getPriceVersionId()))
                  .fetchSingle(JooqPriceRepository::toPrice));
      case "TOO_EARLY" -> new Creation.TooEarly(answer.getEarliestStartTime());
      case "NOT_LAST" -> new Creation.NotLast();
      default -> throw StoreErrors.unexpected("price_create", answer.getOutcome());
    };
  }

  @Override
  public List<Price> list(Optional<String> tier) {
    return context
        .select(COLUMNS)
        .from(PRICE_VERSION)
        .where(tier.<Condition>map(PRICE_VERSION.TIER::eq).orElse(DSL.noCondition()))
        .orderBy(PRICE_VERSION.TIER, PRICE_VERSION.START_TIME)
        .fetch(JooqPriceRepository::toPrice);
  }

  @Override
  public Optional<Price> find(String tier, Instant time) {
    return context
        .select(COLUMNS)
        .from(PRICE_VERSION)
        .where(
            PRICE_VERSION.TIER.eq(tier),
            PRICE_VERSION.START_TIME.le(time),
            PRICE_VERSION.END_TIME.isNull().or(PRICE_VERSION.END_TIME.gt(time)))
        .fetchOptional(JooqPriceRepository::toPrice);
  }

  private static Price toPrice(Record row) {
    return new Price(
        row.get(PRICE_VERSION.PRICE_VERSION_ID).toString(),
        row.get(PRICE_VERSION.TIER),
        PriceBasis.valueOf(row.get(PRICE_VERSION.BASIS)),
        new Rates(
            row.get(PRICE_VERSION.USD_PER_SECOND),
            row.get(PRICE_VERSION.USD_PER_CORE_SECOND),
            row.get(PRICE_VERSION.USD_PER_GIB_SECOND)),
        new Rates(
            row.get(PRICE_VERSION.PAUSED_USD_PER_SECOND),
            row.get(PRICE_VERSION.PAUSED_USD_PER_CORE_SECOND),
            row.get(PRICE_VERSION.PAUSED_USD_PER_GIB_SECOND)),
        row.get(PRICE_VERSION.START_TIME),
        Optional.ofNullable(row.get(PRICE_VERSION.END_TIME)));
  }
}
