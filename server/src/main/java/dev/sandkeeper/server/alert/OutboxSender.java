package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.Semaphore;
import java.util.random.RandomGenerator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sends what is due, at least once.
 *
 * <p>Servers share the work by claiming webhooks, so each gets one alert at a time, and one that
 * hangs holds up no other. An outcome that is not written down, because the server ended or the
 * database was away, leaves the claim to end by itself; then some server sends again, with the same
 * id.
 *
 * <p>Both the alert and its webhook pause after a failure: an alert that its receiver cannot digest
 * does not block those behind it, and of all that waits for a receiver that is down only one is
 * tried at a time, ever more rarely.
 */
public final class OutboxSender implements AutoCloseable {
  /** Well above the longest that an attempt takes: 5 seconds to look up, 10 to send. */
  private static final Duration CLAIM = Duration.ofSeconds(60);

  private static final Duration GIVE_UP_AFTER = Duration.ofDays(3);
  private static final Duration DISABLE_AFTER = Duration.ofDays(5);

  /** After a long silence an old failure and one fresh one must not suffice. */
  private static final int DISABLE_FAILURES = 100;

  private static final int DELETE_BATCH = 1000;

  private static final Logger logger = LoggerFactory.getLogger(OutboxSender.class);

  private final Transactions transactions;
  private final Outbox outbox;
  private final Addresses addresses;
  private final Receivers receivers;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private final Backoff backoff;
  private final AlertSettings settings;
  private final Instruments instruments;
  private final Executor executor;
  private final Semaphore free;
  private volatile boolean isClosed;

  /**
   * Makes the sender, which does nothing by itself.
   *
   * @param random spreads retries; thread-safe
   * @param executor runs what blocks
   */
  public OutboxSender(
      Transactions transactions,
      Outbox outbox,
      Addresses addresses,
      Receivers receivers,
      AuditLog auditLog,
      BillingClock clock,
      RandomGenerator random,
      AlertSettings settings,
      Instruments instruments,
      Executor executor) {
    this.transactions = transactions;
    this.outbox = outbox;
    this.addresses = addresses;
    this.receivers = receivers;
    this.auditLog = auditLog;
    this.clock = clock;
    this.backoff = new Backoff(random);
    this.settings = settings;
    this.instruments = instruments;
    this.executor = executor;
    this.free = new Semaphore(settings.maxSending());
  }

  /** Begins to send what is due, as far as there is room, and goes on until nothing is. */
  public void sendDue() {
    int room = isClosed ? 0 : free.drainPermits();
    if (room == 0) {
      return;
    }
    int claimed = 0;
    try {
      Instant now = clock.now();
      int most = room;
      List<Claim> claims =
          transactions.call(transaction -> outbox.claim(transaction, now, now.plus(CLAIM), most));
      for (Claim claim : claims) {
        executor.execute(() -> sendAndGoOn(claim));
        claimed++;
      }
    } finally {
      free.release(room - claimed);
    }
  }

  private void sendAndGoOn(Claim claim) {
    try {
      sendAndRelease(claim);
      sendDue();
    } catch (InterruptedException _) {
      // The server stops. What became of the alert is not known, so it will be sent again.
      Thread.currentThread().interrupt();
    } catch (RuntimeException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.TENANT, claim.tenantId())
          .addKeyValue("webhook", claim.webhookId())
          .setCause(e)
          .log("Sending alerts failed; what is not written down as sent will be sent again");
    }
  }

  private void sendAndRelease(Claim claim) throws InterruptedException {
    try {
      send(claim);
    } finally {
      free.release();
    }
  }

  private void send(Claim claim) throws InterruptedException {
    Attempt attempt = attempt(claim);
    if (isClosed && attempt instanceof Attempt.Failed) {
      return; // by the closing, as likely as not
    }
    Instant now = clock.now();
    switch (attempt) {
      case Attempt.Taken() -> {
        transactions.run(transaction -> outbox.deliver(transaction, claim, now));
        instruments.alertAttempted(claim.kind(), "delivered");
      }
      case Attempt.Gone() -> {
        disable(claim, "answered 410", DisableReason.GONE, now);
        instruments.alertAttempted(claim.kind(), "gone");
      }
      case Attempt.Failed(String error) -> {
        if (isBeyondHope(claim, now)) {
          disable(claim, error, DisableReason.FAILING, now);
        } else {
          transactions.run(transaction ->
              outbox.postpone(
                  transaction,
                  claim,
                  error,
                  now.plus(backoff.after(claim.attemptCount() + 1)),
                  now.plus(backoff.after(claim.failureCount() + 1)),
                  now));
        }
        instruments.alertAttempted(claim.kind(), "failed");
      }
    }
  }

  private Attempt attempt(Claim claim) throws InterruptedException {
    WebhookUrl url;
    List<InetAddress> found;
    try {
      url = WebhookUrl.of(claim.url());
      found = addresses.find(url);
    } catch (SandkeeperException e) {
      return new Attempt.Failed("the URL is refused: " + e.violations().getFirst().description());
    } catch (UnknownHostException _) {
      return new Attempt.Failed("the host cannot be looked up");
    }
    Optional<InetAddress> refused = addresses.refused(found);
    if (refused.isPresent()) {
      return new Attempt.Failed(
          "the host leads to " + refused.get().getHostAddress() + ", which is not public");
    }
    // Each attempt takes the next address, so one that is down does not hide the others.
    InetAddress address = found.get(claim.attemptCount() % found.size());
    long timestamp = clock.now().getEpochSecond();
    return receivers.post(
        url.uri(),
        address,
        Map.of(
            "webhook-id", claim.eventId(),
            "webhook-timestamp", Long.toString(timestamp),
            "webhook-signature", claim.secret().sign(claim.eventId(), timestamp, claim.payload())),
        claim.payload());
  }

  private static boolean isBeyondHope(Claim claim, Instant now) {
    return claim.failureCount() + 1 >= DISABLE_FAILURES
        && claim
            .failingSince()
            .filter(since -> since.plus(DISABLE_AFTER).isBefore(now))
            .isPresent();
  }

  private void disable(Claim claim, String error, DisableReason reason, Instant now) {
    transactions.run(transaction -> {
      if (outbox.disable(transaction, claim, error, reason, now)) {
        auditLog.append(
            transaction,
            AuditEntry.of(claim.tenantId(), now, AuditOperation.WEBHOOK_CHANGE)
                .withDetail("disabled " + claim.webhookId() + ": " + reason));
      }
    });
    logger
        .atWarn()
        .addKeyValue(LogKeys.TENANT, claim.tenantId())
        .addKeyValue("webhook", claim.webhookId())
        .addKeyValue("reason", reason)
        .log("Webhook disabled");
  }

  /** Keeps the bounds: gives up what waits too long or is too much, deletes what is old. */
  public void tidy() {
    Instant now = clock.now();
    int expired =
        transactions.call(transaction -> outbox.expire(transaction, now.minus(GIVE_UP_AFTER), now));
    int displaced =
        transactions.call(transaction -> outbox.displace(transaction, settings.maxPending(), now));
    instruments.alertsGivenUp("expired", expired);
    instruments.alertsGivenUp("displaced", displaced);
    if (expired + displaced > 0) {
      logger
          .atWarn()
          .addKeyValue("expired", expired)
          .addKeyValue("displaced", displaced)
          .log("Alerts given up");
    }
    while (transactions.call(
            transaction ->
                outbox.deleteEnded(transaction, now.minus(settings.keep()), DELETE_BATCH))
        == DELETE_BATCH) {
      // The rest follows, so that no statement takes long.
    }
  }

  /**
   * Claims nothing more. What is under way may still be taken; what fails by then will be sent
   * again.
   */
  @Override
  public void close() {
    isClosed = true;
  }
}
