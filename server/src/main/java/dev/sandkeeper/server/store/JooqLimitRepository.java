package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.QUOTA_LIMIT;
import static dev.sandkeeper.jooq.Tables.QUOTA_PERIOD;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.Limit;
import dev.sandkeeper.server.ledger.LimitPeriod;
import dev.sandkeeper.server.ledger.LimitRepository;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.ledger.QuotaStatus;
import java.time.Instant;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.exception.DataAccessException;
import org.jooq.impl.DSL;

/** Limits in {@code quota_limit}, their counters in {@code quota_period}. */
final class JooqLimitRepository implements LimitRepository {
  private final DSLContext context;

  JooqLimitRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Optional<Limit> set(
      Transaction transaction, TenantId tenantId, LimitPeriod period, NanoUsd amount, Instant now) {
    try {
      Long limitId =
          Routines.ledgerSetLimit(
              JooqTransaction.contextOf(transaction).configuration(),
              tenantId.value(),
              period.name(),
              amount.value(),
              now);
      return Optional.of(new Limit(limitId.toString(), tenantId, period, amount));
    } catch (DataAccessException e) {
      if (StoreErrors.constraint(e).equals(Optional.of("quota_limit_tenant_fk"))) {
        return Optional.empty();
      }
      throw e;
    }
  }

  @Override
  public boolean delete(Transaction transaction, String limitId) {
    OptionalLong number = Columns.number(limitId);
    return number.isPresent()
        && Routines.ledgerDeleteLimit(
            JooqTransaction.contextOf(transaction).configuration(), number.getAsLong());
  }

  @Override
  public Optional<Limit> find(String limitId) {
    OptionalLong number = Columns.number(limitId);
    if (number.isEmpty()) {
      return Optional.empty();
    }
    return context
        .select(
            QUOTA_LIMIT.LIMIT_ID,
            QUOTA_LIMIT.TENANT_ID,
            QUOTA_LIMIT.PERIOD,
            QUOTA_LIMIT.AMOUNT_NANO_USD)
        .from(QUOTA_LIMIT)
        .where(QUOTA_LIMIT.LIMIT_ID.eq(number.getAsLong()))
        .fetchOptional(JooqLimitRepository::toLimit);
  }

  @Override
  public List<Limit> list(TenantId tenantId) {
    return context
        .select(
            QUOTA_LIMIT.LIMIT_ID,
            QUOTA_LIMIT.TENANT_ID,
            QUOTA_LIMIT.PERIOD,
            QUOTA_LIMIT.AMOUNT_NANO_USD)
        .from(QUOTA_LIMIT)
        .where(QUOTA_LIMIT.TENANT_ID.eq(tenantId.value()))
        .fetch(JooqLimitRepository::toLimit)
        .stream()
        .sorted(Comparator.comparing(Limit::period))
        .toList();
  }

  @Override
  public List<QuotaStatus> quota(TenantId tenantId, Instant now) {
    Field<Instant> start =
        Routines.ledgerPeriodStart(QUOTA_LIMIT.PERIOD, DSL.val(now, QUOTA_PERIOD.PERIOD_START));
    Field<Instant> end = Routines.ledgerPeriodEnd(QUOTA_LIMIT.PERIOD, start);
    return context
        .select(
            QUOTA_LIMIT.LIMIT_ID,
            QUOTA_LIMIT.TENANT_ID,
            QUOTA_LIMIT.PERIOD,
            QUOTA_LIMIT.AMOUNT_NANO_USD,
            QUOTA_PERIOD.SPENT_NANO_USD,
            QUOTA_PERIOD.RESERVED_NANO_USD,
            start,
            end)
        .from(QUOTA_LIMIT)
        .leftJoin(QUOTA_PERIOD)
        .on(QUOTA_PERIOD.LIMIT_ID.eq(QUOTA_LIMIT.LIMIT_ID), QUOTA_PERIOD.PERIOD_START.eq(start))
        .where(QUOTA_LIMIT.TENANT_ID.eq(tenantId.value()))
        .fetch(row -> toStatus(row, row.get(start), Optional.ofNullable(row.get(end))))
        .stream()
        .sorted(Comparator.comparing(status -> status.limit().period()))
        .toList();
  }

  private static Limit toLimit(Record row) {
    return new Limit(
        row.get(QUOTA_LIMIT.LIMIT_ID).toString(),
        new TenantId(row.get(QUOTA_LIMIT.TENANT_ID)),
        LimitPeriod.valueOf(row.get(QUOTA_LIMIT.PERIOD)),
        new NanoUsd(row.get(QUOTA_LIMIT.AMOUNT_NANO_USD)));
  }

  /** A period that nothing has touched yet has no row. */
  private static QuotaStatus toStatus(Record row, Instant start, Optional<Instant> end) {
    Limit limit = toLimit(row);
    return new QuotaStatus(
        limit,
        amount(row, QUOTA_PERIOD.SPENT_NANO_USD),
        amount(row, QUOTA_PERIOD.RESERVED_NANO_USD),
        limit.period() == LimitPeriod.LIFETIME ? Optional.empty() : Optional.of(start),
        end);
  }

  private static NanoUsd amount(Record row, Field<Long> column) {
    return Optional.ofNullable(row.get(column)).map(NanoUsd::new).orElse(NanoUsd.ZERO);
  }
}
