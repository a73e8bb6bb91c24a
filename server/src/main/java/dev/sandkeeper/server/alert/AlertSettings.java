package dev.sandkeeper.server.alert;

import java.time.Duration;

/**
 * The bounds of alerts.
 *
 * @param maxWebhooks how many webhooks a tenant may have, 1 or more
 * @param maxPending how many alerts may wait for a webhook, 1 or more; beyond, the oldest are given
 *     up
 * @param maxSending to how many webhooks this server sends at once, 1 or more
 * @param keep how long deliveries that have ended are kept
 */
public record AlertSettings(int maxWebhooks, int maxPending, int maxSending, Duration keep) {}
