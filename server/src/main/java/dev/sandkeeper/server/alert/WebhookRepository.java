package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps webhooks, and shows what was sent to them. */
public interface WebhookRepository {
  /**
   * Returns how many webhooks a tenant has. Others who count the same tenant's wait for the end of
   * the transaction.
   */
  int count(Transaction transaction, TenantId tenantId);

  /** Adds an enabled webhook; says whether there is such a tenant. */
  boolean insert(Transaction transaction, Webhook webhook, SigningSecret secret);

  /** Returns the webhooks of a tenant, newest first. */
  List<Webhook> list(TenantId tenantId);

  /** Returns a webhook, which stays until the end of the transaction; empty when there is none. */
  Optional<Webhook> find(Transaction transaction, String webhookId);

  /**
   * Deletes a webhook with its deliveries.
   *
   * @return the webhook as it was; empty when there is none of that id
   */
  Optional<Webhook> delete(Transaction transaction, String webhookId);

  /**
   * Adds an alert for one webhook, which there is.
   *
   * @param kind what happens
   * @param data what there is to know, a JSON object
   */
  Delivery append(Transaction transaction, Webhook webhook, String kind, String data, Instant now);

  /**
   * Returns a page of the deliveries to a tenant's webhooks, newest first.
   *
   * @param webhookId only to this one; empty for all
   */
  Page<Delivery> deliveries(TenantId tenantId, Optional<String> webhookId, Page.Request page);
}
