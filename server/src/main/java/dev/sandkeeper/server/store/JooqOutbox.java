package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.OUTBOX;
import static dev.sandkeeper.jooq.Tables.WEBHOOK;

import dev.sandkeeper.server.alert.Claim;
import dev.sandkeeper.server.alert.DeliveryState;
import dev.sandkeeper.server.alert.DisableReason;
import dev.sandkeeper.server.alert.Outbox;
import dev.sandkeeper.server.alert.SigningSecret;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.jooq.CommonTableExpression;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Record;
import org.jooq.Record1;
import org.jooq.Select;
import org.jooq.SelectConditionStep;
import org.jooq.impl.DSL;

/**
 * Alerts in {@code outbox}; claims and pauses in {@code webhook}, whose row is locked first by all
 * that touch both.
 */
final class JooqOutbox implements Outbox {
  private static final Condition PENDING = OUTBOX.STATE.eq(DeliveryState.PENDING.name());

  private final DSLContext context;

  JooqOutbox(DSLContext context) {
    this.context = context;
  }

  @Override
  public List<Claim> claim(Transaction transaction, Instant now, Instant until, int max) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    Condition isDue = PENDING.and(OUTBOX.NEXT_ATTEMPT_TIME.le(now));
    List<String> webhookIds =
        inside
            .select(WEBHOOK.WEBHOOK_ID)
            .from(WEBHOOK)
            .where(WEBHOOK.DISABLE_TIME.isNull(), WEBHOOK.RESUME_TIME.le(now))
            .andExists(
                DSL.selectOne().from(OUTBOX).where(OUTBOX.WEBHOOK_ID.eq(WEBHOOK.WEBHOOK_ID), isDue))
            .orderBy(WEBHOOK.RESUME_TIME)
            .limit(max)
            .forNoKeyUpdate()
            .skipLocked()
            .fetch(WEBHOOK.WEBHOOK_ID);
    if (webhookIds.isEmpty()) {
      return List.of();
    }
    // By itself: only now nobody else sends to them, so what is due is due.
    List<Claim> claims =
        inside
            .select(
                WEBHOOK.WEBHOOK_ID,
                WEBHOOK.TENANT_ID,
                WEBHOOK.URL,
                WEBHOOK.SECRET,
                WEBHOOK.FAILURE_COUNT,
                WEBHOOK.FAILING_SINCE,
                OUTBOX.EVENT_ID,
                OUTBOX.KIND,
                OUTBOX.PAYLOAD,
                OUTBOX.ATTEMPT_COUNT)
            .distinctOn(OUTBOX.WEBHOOK_ID)
            .from(OUTBOX)
            .join(WEBHOOK)
            .on(WEBHOOK.WEBHOOK_ID.eq(OUTBOX.WEBHOOK_ID))
            .where(OUTBOX.WEBHOOK_ID.in(webhookIds), isDue)
            .orderBy(OUTBOX.WEBHOOK_ID, OUTBOX.NEXT_ATTEMPT_TIME, OUTBOX.EVENT_ID)
            .fetch(row -> toClaim(row, until));
    inside
        .update(WEBHOOK)
        .set(WEBHOOK.RESUME_TIME, until)
        .where(WEBHOOK.WEBHOOK_ID.in(claims.stream().map(Claim::webhookId).toList()))
        .execute();
    return claims;
  }

  @Override
  public void deliver(Transaction transaction, Claim claim, Instant now) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    inside
        .update(WEBHOOK)
        .set(WEBHOOK.RESUME_TIME, now)
        .set(WEBHOOK.FAILURE_COUNT, 0)
        .setNull(WEBHOOK.FAILING_SINCE)
        .where(holds(claim))
        .execute();
    // Also what was given up meanwhile: it did arrive.
    inside
        .update(OUTBOX)
        .set(OUTBOX.STATE, DeliveryState.DELIVERED.name())
        .set(OUTBOX.ATTEMPT_COUNT, OUTBOX.ATTEMPT_COUNT.plus(1))
        .set(OUTBOX.END_TIME, now)
        .where(OUTBOX.EVENT_ID.eq(UUID.fromString(claim.eventId())))
        .and(OUTBOX.STATE.ne(DeliveryState.DELIVERED.name()))
        .execute();
  }

  @Override
  public void postpone(
      Transaction transaction,
      Claim claim,
      String error,
      Instant nextAttemptTime,
      Instant resumeTime,
      Instant now) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    inside
        .update(WEBHOOK)
        .set(WEBHOOK.RESUME_TIME, resumeTime)
        .set(WEBHOOK.FAILURE_COUNT, WEBHOOK.FAILURE_COUNT.plus(1))
        .set(WEBHOOK.FAILING_SINCE, DSL.coalesce(WEBHOOK.FAILING_SINCE, DSL.val(now)))
        .where(holds(claim))
        .execute();
    inside
        .update(OUTBOX)
        .set(OUTBOX.ATTEMPT_COUNT, OUTBOX.ATTEMPT_COUNT.plus(1))
        .set(OUTBOX.LAST_ERROR, error)
        .set(OUTBOX.NEXT_ATTEMPT_TIME, nextAttemptTime)
        .where(OUTBOX.EVENT_ID.eq(UUID.fromString(claim.eventId())), PENDING)
        .execute();
  }

  @Override
  public boolean disable(
      Transaction transaction, Claim claim, String error, DisableReason reason, Instant now) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    boolean isDisabled =
        inside
                .update(WEBHOOK)
                .set(WEBHOOK.DISABLE_TIME, now)
                .set(WEBHOOK.DISABLE_REASON, reason.name())
                .where(WEBHOOK.WEBHOOK_ID.eq(claim.webhookId()), WEBHOOK.DISABLE_TIME.isNull())
                .execute()
            == 1;
    inside
        .update(OUTBOX)
        .set(OUTBOX.ATTEMPT_COUNT, OUTBOX.ATTEMPT_COUNT.plus(1))
        .set(OUTBOX.LAST_ERROR, error)
        .where(OUTBOX.EVENT_ID.eq(UUID.fromString(claim.eventId())), PENDING)
        .execute();
    giveUp(
        inside,
        waiting(OUTBOX.WEBHOOK_ID.eq(claim.webhookId())).forNoKeyUpdate(),
        "the webhook was disabled",
        now);
    return isDisabled;
  }

  @Override
  public int expire(Transaction transaction, Instant createdBefore, Instant now) {
    return giveUp(
        JooqTransaction.contextOf(transaction),
        waiting(OUTBOX.CREATE_TIME.lt(createdBefore)).forNoKeyUpdate().skipLocked(),
        "it waited too long",
        now);
  }

  @Override
  public int displace(Transaction transaction, int maxPending, Instant now) {
    DSLContext inside = JooqTransaction.contextOf(transaction);
    return inside
        .select(OUTBOX.WEBHOOK_ID)
        .from(OUTBOX)
        .where(PENDING)
        .groupBy(OUTBOX.WEBHOOK_ID)
        .having(DSL.count().gt(maxPending))
        .fetch(OUTBOX.WEBHOOK_ID)
        .stream()
        .mapToInt(webhookId -> displace(inside, webhookId, maxPending, now))
        .sum();
  }

  /** Counts again behind the lock, or two servers would each give up as many. */
  private static int displace(DSLContext inside, String webhookId, int maxPending, Instant now) {
    boolean isLocked =
        inside
            .selectOne()
            .from(WEBHOOK)
            .where(WEBHOOK.WEBHOOK_ID.eq(webhookId))
            .forNoKeyUpdate()
            .skipLocked()
            .fetchOptional()
            .isPresent();
    if (!isLocked) {
      return 0;
    }
    Condition isItsOwn = OUTBOX.WEBHOOK_ID.eq(webhookId);
    int excess = inside.fetchCount(OUTBOX, PENDING, isItsOwn) - maxPending;
    if (excess <= 0) {
      return 0;
    }
    return giveUp(
        inside,
        waiting(isItsOwn)
            .orderBy(OUTBOX.CREATE_TIME, OUTBOX.EVENT_ID)
            .limit(excess)
            .forNoKeyUpdate()
            .skipLocked(),
        "more than " + maxPending + " waited for the webhook",
        now);
  }

  @Override
  public int deleteEnded(Transaction transaction, Instant endedBefore, int max) {
    CommonTableExpression<Record1<UUID>> picked =
        picked(
            DSL.select(OUTBOX.EVENT_ID)
                .from(OUTBOX)
                .where(OUTBOX.END_TIME.lt(endedBefore))
                .limit(max)
                .forUpdate()
                .skipLocked());
    return JooqTransaction.contextOf(transaction)
        .with(picked)
        .delete(OUTBOX)
        .where(OUTBOX.EVENT_ID.in(DSL.select(picked.field(OUTBOX.EVENT_ID)).from(picked)))
        .execute();
  }

  @Override
  public int countPending() {
    return context.fetchCount(OUTBOX, PENDING);
  }

  /** Says whether the webhook is still claimed as it was. */
  private static Condition holds(Claim claim) {
    return WEBHOOK.WEBHOOK_ID.eq(claim.webhookId()).and(WEBHOOK.RESUME_TIME.eq(claim.until()));
  }

  private static SelectConditionStep<Record1<UUID>> waiting(Condition which) {
    return DSL.select(OUTBOX.EVENT_ID).from(OUTBOX).where(PENDING, which);
  }

  /** Materialized, so that rows are picked and locked once, however the rest is planned. */
  private static CommonTableExpression<Record1<UUID>> picked(Select<Record1<UUID>> eventIds) {
    return DSL.name("picked").fields(OUTBOX.EVENT_ID.getName()).asMaterialized(eventIds);
  }

  /** What the last attempt met stays in front: it says more than that there will be no other. */
  private static int giveUp(
      DSLContext inside, Select<Record1<UUID>> eventIds, String reason, Instant now) {
    CommonTableExpression<Record1<UUID>> picked = picked(eventIds);
    return inside
        .with(picked)
        .update(OUTBOX)
        .set(OUTBOX.STATE, DeliveryState.FAILED.name())
        .set(
            OUTBOX.LAST_ERROR,
            DSL.coalesce(OUTBOX.LAST_ERROR.concat("; "), DSL.val("")).concat("given up: " + reason))
        .set(OUTBOX.END_TIME, now)
        .where(OUTBOX.EVENT_ID.in(DSL.select(picked.field(OUTBOX.EVENT_ID)).from(picked)))
        .execute();
  }

  private static Claim toClaim(Record row, Instant until) {
    return new Claim(
        row.get(WEBHOOK.WEBHOOK_ID),
        new TenantId(row.get(WEBHOOK.TENANT_ID)),
        row.get(WEBHOOK.URL),
        new SigningSecret(row.get(WEBHOOK.SECRET)),
        row.get(WEBHOOK.FAILURE_COUNT),
        Optional.ofNullable(row.get(WEBHOOK.FAILING_SINCE)),
        until,
        row.get(OUTBOX.EVENT_ID).toString(),
        row.get(OUTBOX.KIND),
        row.get(OUTBOX.PAYLOAD),
        row.get(OUTBOX.ATTEMPT_COUNT));
  }
}
