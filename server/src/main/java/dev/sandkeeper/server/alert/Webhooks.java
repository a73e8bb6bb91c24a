package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;

/** Where tenants want their alerts, and what became of these. */
public final class Webhooks {
  private static final String TEST_KIND = "test";

  private final Transactions transactions;
  private final WebhookRepository repository;
  private final Addresses addresses;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private final IdGenerator ids;
  private final RandomGenerator random;
  private final AlertSettings settings;

  /**
   * A webhook that was just made.
   *
   * @param webhook the webhook
   * @param secret what its deliveries are signed with; not to be had again
   */
  public record Created(Webhook webhook, SigningSecret secret) {}

  /**
   * Makes the webhooks over their repository.
   *
   * @param random makes secrets; in production a {@code SecureRandom}
   */
  public Webhooks(
      Transactions transactions,
      WebhookRepository repository,
      Addresses addresses,
      AuditLog auditLog,
      BillingClock clock,
      IdGenerator ids,
      RandomGenerator random,
      AlertSettings settings) {
    this.transactions = transactions;
    this.repository = repository;
    this.addresses = addresses;
    this.auditLog = auditLog;
    this.clock = clock;
    this.ids = ids;
    this.random = random;
    this.settings = settings;
  }

  /**
   * Makes a webhook.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} for a URL that alerts may not be
   *     sent to, {@link ErrorReason#TENANT_NOT_FOUND}, or {@link ErrorReason#TOO_MANY_WEBHOOKS}
   */
  public Created create(Principal principal, TenantId tenantId, String url) {
    WebhookUrl parsed = WebhookUrl.of(url);
    check(parsed);
    Webhook webhook =
        new Webhook(ids.next(), tenantId, url, clock.now(), 0, Optional.empty(), Optional.empty());
    SigningSecret secret = SigningSecret.generate(random);
    transactions.run(transaction -> {
      if (repository.count(transaction, tenantId) >= settings.maxWebhooks()) {
        throw SandkeeperException.of(
                ErrorReason.TOO_MANY_WEBHOOKS,
                "The tenant has as many webhooks as it may; delete one first.")
            .with("maxWebhooks", settings.maxWebhooks());
      }
      if (!repository.insert(transaction, webhook, secret)) {
        throw SandkeeperException.of(
                ErrorReason.TENANT_NOT_FOUND, "There is no such tenant; create it first.")
            .with("tenantId", tenantId);
      }
      audit(
          transaction,
          principal,
          tenantId,
          "created " + webhook.webhookId() + " at " + parsed.origin());
    });
    return new Created(webhook, secret);
  }

  /** A host that cannot be looked up yet will be looked at when something is sent. */
  private void check(WebhookUrl url) {
    try {
      Optional<InetAddress> refused = addresses.refused(addresses.find(url));
      if (refused.isPresent()) {
        throw SandkeeperException.invalidField(
            "url",
            url.host()
                + " leads to "
                + refused.get().getHostAddress()
                + " (expected: public addresses only)");
      }
    } catch (UnknownHostException _) {
      return;
    }
  }

  /** Returns the webhooks of a tenant, newest first. */
  public List<Webhook> list(TenantId tenantId) {
    return repository.list(tenantId);
  }

  /**
   * Deletes a webhook with its deliveries, also those that wait.
   *
   * @throws SandkeeperException {@link ErrorReason#WEBHOOK_NOT_FOUND}
   */
  public void delete(Principal principal, String webhookId) {
    transactions.run(transaction -> {
      Webhook webhook =
          repository.delete(transaction, webhookId).orElseThrow(() -> notFound(webhookId));
      audit(transaction, principal, webhook.tenantId(), "deleted " + webhookId);
    });
  }

  /**
   * Returns a page of the deliveries to a tenant's webhooks, newest first.
   *
   * @param webhookId only to this one; empty for all
   */
  public Page<Delivery> deliveries(
      TenantId tenantId, Optional<String> webhookId, Page.Request page) {
    return repository.deliveries(tenantId, webhookId, page);
  }

  /**
   * Adds an alert that is a test, for one webhook.
   *
   * @throws SandkeeperException {@link ErrorReason#WEBHOOK_NOT_FOUND} or {@link
   *     ErrorReason#WEBHOOK_DISABLED}
   */
  public Delivery sendTest(String webhookId) {
    return transactions.call(transaction -> {
      Webhook webhook =
          repository.find(transaction, webhookId).orElseThrow(() -> notFound(webhookId));
      if (webhook.disabled().isPresent()) {
        throw SandkeeperException.of(
                ErrorReason.WEBHOOK_DISABLED,
                "The webhook is disabled for good; create one in its place.")
            .with("webhookId", webhookId);
      }
      String data = "{\"webhookId\":\"" + webhookId + "\"}";
      return repository.append(transaction, webhook, TEST_KIND, data, clock.now());
    });
  }

  private static SandkeeperException notFound(String webhookId) {
    return SandkeeperException.of(ErrorReason.WEBHOOK_NOT_FOUND, "There is no such webhook.")
        .with("webhookId", webhookId);
  }

  private void audit(
      Transaction transaction, Principal principal, TenantId tenantId, String detail) {
    auditLog.append(
        transaction,
        AuditEntry.of(tenantId, clock.now(), AuditOperation.WEBHOOK_CHANGE)
            .by(principal)
            .withDetail(detail));
  }
}
