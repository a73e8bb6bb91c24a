package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.LEDGER_SET_LIMIT;
import static dev.sandkeeper.jooq.tables.QuotaLimit.QUOTA_LIMIT;
import static dev.sandkeeper.jooq.tables.QuotaPeriod.QUOTA_PERIOD;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.jooq.tables.records.LedgerSetLimitRecord;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.Limit;
import dev.sandkeeper.server.ledger.LimitEnforcement;
import dev.sandkeeper.server.ledger.LimitPeriod;
import dev.sandkeeper.server.ledger.LimitQuery;
import dev.sandkeeper.server.ledger.LimitRepository;
import dev.sandkeeper.server.ledger.LimitResource;
import dev.sandkeeper.server.ledger.LimitScope;
import dev.sandkeeper.server.ledger.LimitSpec;
import dev.sandkeeper.server.ledger.QuotaStatus;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.jooq.Condition;
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
  public Setting set(Transaction transaction, LimitSpec spec, long maxLimits, Instant now) {
    LedgerSetLimitRecord answer;
    try {
      answer =
          JooqTransaction.contextOf(transaction)
              .selectFrom(
                  LEDGER_SET_LIMIT(
                      spec.tenantId().value(),
                      spec.scope().name(),
                      spec.scopeId(),
                      spec.resource().name(),
                      spec.period().name(),
                      spec.zone(),
                      spec.enforcement().name(),
                      spec.amount(),
                      spec.thresholds().toArray(Integer[]::new),
                      maxLimits,
                      now))
              .fetchSingle();
    } catch (DataAccessException e) {
      if (StoreErrors.constraint(e).equals(Optional.of("quota_limit_tenant_fk"))) {
        return new Setting.NoTenant();
      }
      throw e;
    }
    return switch (answer.getOutcome()) {
      case "SET" ->
          new Setting.Set(new Limit(answer.getLimitId().toString(), spec, answer.getCreateTime()));
      case "OTHER_ZONE" -> new Setting.OtherZone(answer.getLimitId().toString(), answer.getZone());
      case "UNKNOWN_ZONE" -> new Setting.UnknownZone();
      case "TOO_MANY" -> new Setting.TooMany();
      default -> throw StoreErrors.unexpected("ledger_set_limit", answer.getOutcome());
    };
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
        .select(QUOTA_LIMIT.fields())
        .from(QUOTA_LIMIT)
        .where(QUOTA_LIMIT.LIMIT_ID.eq(number.getAsLong()))
        .fetchOptional(JooqLimitRepository::toLimit);
  }

  @Override
  public Page<Limit> list(LimitQuery query, Page.Request page) {
    List<Limit> rows =
        context
            .select(QUOTA_LIMIT.fields())
            .from(QUOTA_LIMIT)
            .where(conditions(query, page))
            .orderBy(QUOTA_LIMIT.CREATE_TIME.desc(), QUOTA_LIMIT.LIMIT_ID.desc())
            .limit(page.size() + 1)
            .fetch(JooqLimitRepository::toLimit);
    return Pages.of(rows, page.size(), JooqLimitRepository::position);
  }

  @Override
  public Page<QuotaStatus> quota(LimitQuery query, Page.Request page, Instant now) {
    Field<Instant> start =
        Routines.ledgerPeriodStart(
            QUOTA_LIMIT.PERIOD, QUOTA_LIMIT.ZONE, DSL.val(now, QUOTA_PERIOD.PERIOD_START));
    Field<Instant> end = Routines.ledgerPeriodEnd(QUOTA_LIMIT.PERIOD, QUOTA_LIMIT.ZONE, start);
    List<QuotaStatus> rows =
        context
            .select(QUOTA_LIMIT.fields())
            .select(QUOTA_PERIOD.SPENT, QUOTA_PERIOD.RESERVED, start, end)
            .from(QUOTA_LIMIT)
            .leftJoin(QUOTA_PERIOD)
            .on(QUOTA_PERIOD.LIMIT_ID.eq(QUOTA_LIMIT.LIMIT_ID), QUOTA_PERIOD.PERIOD_START.eq(start))
            .where(conditions(query, page))
            .orderBy(QUOTA_LIMIT.CREATE_TIME.desc(), QUOTA_LIMIT.LIMIT_ID.desc())
            .limit(page.size() + 1)
            .fetch(row -> toStatus(row, row.get(start), Optional.ofNullable(row.get(end))));
    return Pages.of(rows, page.size(), status -> position(status.limit()));
  }

  private static Page.Position position(Limit limit) {
    return new Page.Position(limit.createTime(), limit.limitId());
  }

  private static List<Condition> conditions(LimitQuery query, Page.Request page) {
    List<Condition> conditions = new ArrayList<>();
    conditions.add(QUOTA_LIMIT.TENANT_ID.eq(query.tenantId().value()));
    query.scope().map(scope -> QUOTA_LIMIT.SCOPE.eq(scope.name())).ifPresent(conditions::add);
    query.scopeId().map(QUOTA_LIMIT.SCOPE_ID::eq).ifPresent(conditions::add);
    page.after()
        .map(after ->
            DSL.row(QUOTA_LIMIT.CREATE_TIME, QUOTA_LIMIT.LIMIT_ID)
                .lt(after.time(), Long.valueOf(after.id())))
        .ifPresent(conditions::add);
    return conditions;
  }

  private static Limit toLimit(Record row) {
    return new Limit(
        row.get(QUOTA_LIMIT.LIMIT_ID).toString(),
        new LimitSpec(
            new TenantId(row.get(QUOTA_LIMIT.TENANT_ID)),
            LimitScope.valueOf(row.get(QUOTA_LIMIT.SCOPE)),
            row.get(QUOTA_LIMIT.SCOPE_ID),
            LimitResource.valueOf(row.get(QUOTA_LIMIT.RESOURCE)),
            LimitPeriod.valueOf(row.get(QUOTA_LIMIT.PERIOD)),
            row.get(QUOTA_LIMIT.ZONE),
            LimitEnforcement.valueOf(row.get(QUOTA_LIMIT.ENFORCEMENT)),
            row.get(QUOTA_LIMIT.AMOUNT),
            List.of(row.get(QUOTA_LIMIT.THRESHOLDS))),
        row.get(QUOTA_LIMIT.CREATE_TIME));
  }

  /** A period that nothing has touched yet has no row. */
  private static QuotaStatus toStatus(Record row, Instant start, Optional<Instant> end) {
    Limit limit = toLimit(row);
    return new QuotaStatus(
        limit,
        used(row, QUOTA_PERIOD.SPENT),
        used(row, QUOTA_PERIOD.RESERVED),
        limit.spec().period() == LimitPeriod.LIFETIME ? Optional.empty() : Optional.of(start),
        end);
  }

  private static long used(Record row, Field<Long> column) {
    return Optional.ofNullable(row.get(column)).orElse(0L);
  }
}
