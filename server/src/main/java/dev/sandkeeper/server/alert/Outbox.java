package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;

/**
 * Keeps the alerts that are to be sent, and which server sends to which webhook.
 *
 * <p>What is told of a claim that has ended by itself still counts for the alert, and no longer for
 * the webhook, which may be another server's by then.
 */
public interface Outbox {
  /**
   * Claims webhooks for which an alert is due, those first that have waited longest, each with its
   * alert. What other servers claim at the same time is left to them.
   *
   * @param until when the claims end by themselves
   * @param max how many at most
   */
  List<Claim> claim(Transaction transaction, Instant now, Instant until, int max);

  /** Marks an alert as delivered and gives its webhook back. */
  void deliver(Transaction transaction, Claim claim, Instant now);

  /**
   * Leaves an alert for another attempt, and its webhook alone for a while.
   *
   * @param nextAttemptTime the alert is not sent before
   * @param resumeTime nothing is sent to the webhook before
   */
  void postpone(
      Transaction transaction,
      Claim claim,
      String error,
      Instant nextAttemptTime,
      Instant resumeTime,
      Instant now);

  /**
   * Disables a webhook for good, and gives up all that waits for it; says whether it was enabled.
   */
  boolean disable(
      Transaction transaction, Claim claim, String error, DisableReason reason, Instant now);

  /**
   * Gives up what has waited for too long.
   *
   * @return how many alerts
   */
  int expire(Transaction transaction, Instant createdBefore, Instant now);

  /**
   * Gives up the oldest of what waits for a webhook beyond a number.
   *
   * @return how many alerts
   */
  int displace(Transaction transaction, int maxPending, Instant now);

  /**
   * Deletes deliveries that have ended.
   *
   * @param max how many at most
   * @return how many
   */
  int deleteEnded(Transaction transaction, Instant endedBefore, int max);

  /** Returns how many alerts wait. */
  int countPending();
}
