package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.Extension;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.ledger.Refusal;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps live sandboxes paid: at half of its lease each is metered and pays for another. One whose
 * budget has no more is warned on its streams and ended before its paid time is over; one whose
 * timeout passed is ended; one that ended by itself is settled.
 *
 * <p>The decision to end hangs on this process's monotonic clock alone, so a server that has lost
 * its database stops what it can no longer pay for.
 */
final class LeaseKeeper {
  private static final Logger logger = LoggerFactory.getLogger(LeaseKeeper.class);
  private static final Duration RETRY = Duration.ofSeconds(1);
  private static final Duration STOP_GRACE = Duration.ofMillis(500);

  private final Transactions transactions;
  private final Ledger ledger;
  private final BillingClock clock;
  private final SandboxSettings settings;
  private final SandboxEnder ender;
  private final CompletableFuture<SandboxListener> listener;
  private final ScheduledExecutorService executor;

  /**
   * Makes the keeper.
   *
   * @param executor runs what is due; its tasks may block
   */
  LeaseKeeper(
      Transactions transactions,
      Ledger ledger,
      BillingClock clock,
      SandboxSettings settings,
      SandboxEnder ender,
      CompletableFuture<SandboxListener> listener,
      ScheduledExecutorService executor) {
    this.transactions = transactions;
    this.ledger = ledger;
    this.clock = clock;
    this.settings = settings;
    this.ender = ender;
    this.listener = listener;
    this.executor = executor;
  }

  /** Takes charge of a sandbox that has just become live. */
  void keep(LiveSandbox sandbox) {
    sandbox.engine().onEnd(end -> executor.execute(() -> endedByItself(sandbox, end)));
    schedule(sandbox, renewTime(sandbox));
  }

  private void endedByItself(LiveSandbox sandbox, SandboxEnd end) {
    EndReason reason =
        switch (end.reason()) {
          case OUT_OF_MEMORY -> EndReason.OUT_OF_MEMORY;
          case PAID_TIME_OVER -> EndReason.ORPHANED;
          case AGENT_LOST -> EndReason.ENGINE_FAILED;
        };
    end(sandbox, reason, Duration.ZERO);
  }

  /** Returns when the lease is to be renewed, or, when it cannot be, when the sandbox is ended. */
  private Instant renewTime(LiveSandbox sandbox) {
    Instant expireTime = sandbox.sandbox().expireTime();
    if (!sandbox.paidUntil().isBefore(expireTime)) {
      return expireTime;
    }
    // Not at once again, should a renewal bring less than half a lease; in time for the end,
    // though.
    Instant half = sandbox.paidUntil().minus(settings.lease().dividedBy(2));
    Instant soonest = clock.now().plus(settings.lease().dividedBy(8));
    return earlier(half.isBefore(soonest) ? soonest : half, stopTime(sandbox));
  }

  private Instant stopTime(LiveSandbox sandbox) {
    return sandbox.paidUntil().minus(settings.stopLead());
  }

  private void check(LiveSandbox sandbox) {
    Instant now = clock.now();
    if (!now.isBefore(sandbox.sandbox().expireTime())) {
      end(sandbox, EndReason.TIMEOUT, STOP_GRACE);
      return;
    }
    try {
      extend(sandbox, now);
    } catch (RuntimeException e) {
      // Whatever it is: a sandbox that nobody looks at again would not be ended in time.
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.id())
          .setCause(e)
          .log("The lease could not be renewed; trying again while it lasts");
      if (clock.now().isBefore(stopTime(sandbox))) {
        schedule(sandbox, earlier(clock.now().plus(RETRY), stopTime(sandbox)));
      } else {
        end(sandbox, EndReason.ORPHANED, STOP_GRACE);
      }
    }
  }

  private void extend(LiveSandbox sandbox, Instant now) {
    UsageReading usage = sandbox.engine().usage();
    Extension extension =
        transactions.call(transaction ->
            ledger.extend(transaction, sandbox.id(), sandbox.sandbox().generation(), usage, now));
    switch (extension) {
      case Extension.Renewed renewed -> {
        renewed(sandbox, renewed.paidUntil());
        schedule(sandbox, renewTime(sandbox));
      }
      case Extension.Shortened shortened -> {
        renewed(sandbox, shortened.paidUntil());
        exhausted(sandbox, shortened.refusal());
      }
      case Extension.Refused refused -> exhausted(sandbox, refused.refusal());
      case Extension.Fenced _ -> end(sandbox, EndReason.ORPHANED, Duration.ZERO);
    }
  }

  private void renewed(LiveSandbox sandbox, Instant paidUntil) {
    sandbox.paidUntil(paidUntil);
    sandbox.engine().renew(Duration.between(clock.now(), paidUntil).plus(settings.guestSlack()));
  }

  /**
   * Nothing is left to pay for more. The last moment to stop is also the last to ask: the limit may
   * have been raised by then, or its next period have begun.
   */
  private void exhausted(LiveSandbox sandbox, Refusal refusal) {
    if (clock.now().isBefore(stopTime(sandbox))) {
      // Only money is asked for again in a lease; the place of a sandbox stays its own.
      listener
          .join()
          .budgetWarning(
              sandbox, refusal.limitId(), new NanoUsd(refusal.remaining()), sandbox.paidUntil());
      schedule(sandbox, earlier(stopTime(sandbox), sandbox.sandbox().expireTime()));
    } else {
      end(sandbox, EndReason.BUDGET_EXHAUSTED, STOP_GRACE);
    }
  }

  private void end(LiveSandbox sandbox, EndReason reason, Duration grace) {
    try {
      ender.end(sandbox, reason, grace, Optional.empty());
    } catch (RuntimeException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.id())
          .setCause(e)
          .log("The sandbox has ended but is not settled yet; the sweeper goes on with it");
    }
  }

  private void schedule(LiveSandbox sandbox, Instant at) {
    long delay = Math.max(0, Duration.between(clock.now(), at).toNanos());
    try {
      sandbox.nextCheck(executor.schedule(() -> check(sandbox), delay, TimeUnit.NANOSECONDS));
    } catch (RejectedExecutionException e) {
      logger.debug("The server stops; the next one takes the sandbox up", e);
    }
  }

  private static Instant earlier(Instant one, Instant other) {
    return one.isBefore(other) ? one : other;
  }
}
