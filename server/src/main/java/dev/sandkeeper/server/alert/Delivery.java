package dev.sandkeeper.server.alert;

import java.time.Instant;
import java.util.Optional;

/**
 * One alert on its way to one webhook. Times are of the billing clock.
 *
 * @param eventId the same in each attempt, by which receivers tell repetitions
 * @param webhookId where it goes
 * @param kind what happened, such as {@code limit_threshold}
 * @param payload the body, the same bytes in each attempt
 * @param state how far it is
 * @param createTime when it happened
 * @param attemptCount attempts whose outcome is known
 * @param nextAttemptTime not sent before
 * @param lastError why the last attempt failed, or why it was given up
 * @param endTime when it was delivered or given up; empty while it is pending
 */
public record Delivery(
    String eventId,
    String webhookId,
    String kind,
    String payload,
    DeliveryState state,
    Instant createTime,
    int attemptCount,
    Instant nextAttemptTime,
    Optional<String> lastError,
    Optional<Instant> endTime) {}
