package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.base.TenantId;
import java.time.Instant;
import java.util.Optional;

/**
 * A webhook that one server has to itself for a while, and the alert that is due for it.
 *
 * @param webhookId the webhook
 * @param tenantId whose it is
 * @param url where it is
 * @param secret what deliveries are signed with
 * @param failureCount attempts that failed since the last that succeeded
 * @param failingSince when the first of them failed
 * @param until when the claim ends by itself; billing clock
 * @param eventId the alert
 * @param kind what happened
 * @param payload the body
 * @param attemptCount attempts for this alert whose outcome is known
 */
public record Claim(
    String webhookId,
    TenantId tenantId,
    String url,
    SigningSecret secret,
    int failureCount,
    Optional<Instant> failingSince,
    Instant until,
    String eventId,
    String kind,
    String payload,
    int attemptCount) {}
