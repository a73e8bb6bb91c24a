package dev.sandkeeper.server.store;

import dev.sandkeeper.server.alert.Outbox;
import dev.sandkeeper.server.alert.WebhookRepository;

/** Makes the adapters of the ports of alerts. */
public final class AlertRepositories {
  private AlertRepositories() {}

  /** Returns the keeper of webhooks. */
  public static WebhookRepository webhooks(JooqTransactions transactions) {
    return new JooqWebhookRepository(transactions.context());
  }

  /** Returns the keeper of what is to be sent. */
  public static Outbox outbox(JooqTransactions transactions) {
    return new JooqOutbox(transactions.context());
  }
}
