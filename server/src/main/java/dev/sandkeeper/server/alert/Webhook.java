package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.base.TenantId;
import java.time.Instant;
import java.util.Optional;

/**
 * Where a tenant's alerts are sent.
 *
 * @param webhookId made by the server
 * @param tenantId whose alerts it gets
 * @param url as it was given
 * @param createTime when it was made; billing clock
 * @param failureCount attempts that failed since the last that succeeded
 * @param failingSince when the first of them failed; empty when there is none
 * @param disabled since when and why nothing is sent to it; empty while it is enabled
 */
public record Webhook(
    String webhookId,
    TenantId tenantId,
    String url,
    Instant createTime,
    int failureCount,
    Optional<Instant> failingSince,
    Optional<Disabled> disabled) {

  /**
   * The end of a webhook.
   *
   * @param time when; billing clock
   * @param reason why
   */
  public record Disabled(Instant time, DisableReason reason) {}
}
