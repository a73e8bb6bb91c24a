package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.OUTBOX;
import static dev.sandkeeper.jooq.Tables.WEBHOOK;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.server.alert.Delivery;
import dev.sandkeeper.server.alert.DeliveryState;
import dev.sandkeeper.server.alert.DisableReason;
import dev.sandkeeper.server.alert.SigningSecret;
import dev.sandkeeper.server.alert.Webhook;
import dev.sandkeeper.server.alert.WebhookRepository;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.JSONB;
import org.jooq.Record;
import org.jooq.exception.DataAccessException;
import org.jooq.impl.DSL;

/** Webhooks in {@code webhook}, their deliveries in {@code outbox}. */
final class JooqWebhookRepository implements WebhookRepository {
  /** All but the secret. */
  private static final List<Field<?>> COLUMNS =
      List.of(
          WEBHOOK.WEBHOOK_ID,
          WEBHOOK.TENANT_ID,
          WEBHOOK.URL,
          WEBHOOK.CREATE_TIME,
          WEBHOOK.FAILURE_COUNT,
          WEBHOOK.FAILING_SINCE,
          WEBHOOK.DISABLE_TIME,
          WEBHOOK.DISABLE_REASON);

  private static final List<Field<?>> DELIVERY_COLUMNS =
      List.of(
          OUTBOX.EVENT_ID,
          OUTBOX.WEBHOOK_ID,
          OUTBOX.KIND,
          OUTBOX.PAYLOAD,
          OUTBOX.STATE,
          OUTBOX.CREATE_TIME,
          OUTBOX.ATTEMPT_COUNT,
          OUTBOX.NEXT_ATTEMPT_TIME,
          OUTBOX.LAST_ERROR,
          OUTBOX.END_TIME);

  private final DSLContext context;

  JooqWebhookRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public int count(Transaction transaction, TenantId tenantId) {
    return JooqTransaction.lockedContextOf(transaction, "sandkeeper.webhook." + tenantId.value())
        .fetchCount(WEBHOOK, WEBHOOK.TENANT_ID.eq(tenantId.value()));
  }

  @Override
  public boolean insert(Transaction transaction, Webhook webhook, SigningSecret secret) {
    try {
      JooqTransaction.contextOf(transaction)
          .insertInto(WEBHOOK)
          .set(WEBHOOK.WEBHOOK_ID, webhook.webhookId())
          .set(WEBHOOK.TENANT_ID, webhook.tenantId().value())
          .set(WEBHOOK.URL, webhook.url())
          .set(WEBHOOK.SECRET, secret.key())
          .set(WEBHOOK.CREATE_TIME, webhook.createTime())
          .set(WEBHOOK.RESUME_TIME, webhook.createTime())
          .execute();
      return true;
    } catch (DataAccessException e) {
      if (StoreErrors.constraint(e).equals(Optional.of("webhook_tenant_fk"))) {
        return false;
      }
      throw e;
    }
  }

  @Override
  public List<Webhook> list(TenantId tenantId) {
    return context
        .select(COLUMNS)
        .from(WEBHOOK)
        .where(WEBHOOK.TENANT_ID.eq(tenantId.value()))
        .orderBy(WEBHOOK.CREATE_TIME.desc(), WEBHOOK.WEBHOOK_ID)
        .fetch(JooqWebhookRepository::toWebhook);
  }

  @Override
  public Optional<Webhook> find(Transaction transaction, String webhookId) {
    return JooqTransaction.contextOf(transaction)
        .select(COLUMNS)
        .from(WEBHOOK)
        .where(WEBHOOK.WEBHOOK_ID.eq(webhookId))
        .forKeyShare()
        .fetchOptional(JooqWebhookRepository::toWebhook);
  }

  @Override
  public Optional<Webhook> delete(Transaction transaction, String webhookId) {
    return JooqTransaction.contextOf(transaction)
        .deleteFrom(WEBHOOK)
        .where(WEBHOOK.WEBHOOK_ID.eq(webhookId))
        .returning(COLUMNS)
        .fetchOptional(JooqWebhookRepository::toWebhook);
  }

  @Override
  public Delivery append(
      Transaction transaction, Webhook webhook, String kind, String data, Instant now) {
    return JooqTransaction.contextOf(transaction)
        .insertInto(OUTBOX)
        .set(OUTBOX.TENANT_ID, webhook.tenantId().value())
        .set(OUTBOX.WEBHOOK_ID, webhook.webhookId())
        .set(OUTBOX.KIND, kind)
        .set(
            OUTBOX.PAYLOAD,
            Routines.outboxPayload(
                DSL.val(kind), DSL.val(JSONB.valueOf(data)), DSL.val(now, OUTBOX.CREATE_TIME)))
        .set(OUTBOX.CREATE_TIME, now)
        .set(OUTBOX.NEXT_ATTEMPT_TIME, now)
        .returning(DELIVERY_COLUMNS)
        .fetchSingle(JooqWebhookRepository::toDelivery);
  }

  @Override
  public Page<Delivery> deliveries(
      TenantId tenantId, Optional<String> webhookId, Page.Request page) {
    List<Condition> conditions = new ArrayList<>();
    conditions.add(OUTBOX.TENANT_ID.eq(tenantId.value()));
    webhookId.map(OUTBOX.WEBHOOK_ID::eq).ifPresent(conditions::add);
    page.after()
        .map(after ->
            DSL.row(OUTBOX.CREATE_TIME, OUTBOX.EVENT_ID)
                .lt(after.time(), UUID.fromString(after.id())))
        .ifPresent(conditions::add);
    List<Delivery> rows =
        context
            .select(DELIVERY_COLUMNS)
            .from(OUTBOX)
            .where(conditions)
            .orderBy(OUTBOX.CREATE_TIME.desc(), OUTBOX.EVENT_ID.desc())
            .limit(page.size() + 1)
            .fetch(JooqWebhookRepository::toDelivery);
    return Pages.of(
        rows, page.size(), last -> new Page.Position(last.createTime(), last.eventId()));
  }

  private static Webhook toWebhook(Record row) {
    return new Webhook(
        row.get(WEBHOOK.WEBHOOK_ID),
        new TenantId(row.get(WEBHOOK.TENANT_ID)),
        row.get(WEBHOOK.URL),
        row.get(WEBHOOK.CREATE_TIME),
        row.get(WEBHOOK.FAILURE_COUNT),
        Optional.ofNullable(row.get(WEBHOOK.FAILING_SINCE)),
        Optional.ofNullable(row.get(WEBHOOK.DISABLE_TIME))
            .map(time ->
                new Webhook.Disabled(
                    time, DisableReason.valueOf(row.get(WEBHOOK.DISABLE_REASON)))));
  }

  private static Delivery toDelivery(Record row) {
    return new Delivery(
        row.get(OUTBOX.EVENT_ID).toString(),
        row.get(OUTBOX.WEBHOOK_ID),
        row.get(OUTBOX.KIND),
        row.get(OUTBOX.PAYLOAD),
        DeliveryState.valueOf(row.get(OUTBOX.STATE)),
        row.get(OUTBOX.CREATE_TIME),
        row.get(OUTBOX.ATTEMPT_COUNT),
        row.get(OUTBOX.NEXT_ATTEMPT_TIME),
        Optional.ofNullable(row.get(OUTBOX.LAST_ERROR)),
        Optional.ofNullable(row.get(OUTBOX.END_TIME)));
  }
}
