/**
 * Alerts: who wants them by webhook, and the sender that brings them there from the outbox.
 *
 * <p>May import {@code base}, {@code net}, {@code audit} and {@code telemetry}. What causes an
 * alert writes it to the outbox in its own transaction, by the database's function {@code
 * alert_append}. Entry points: {@link dev.sandkeeper.server.alert.Webhooks} and {@link
 * dev.sandkeeper.server.alert.OutboxSender}.
 */
@NullMarked
package dev.sandkeeper.server.alert;

import org.jspecify.annotations.NullMarked;
