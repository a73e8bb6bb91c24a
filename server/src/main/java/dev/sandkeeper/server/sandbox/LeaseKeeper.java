package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineException;
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
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps live sandboxes paid, running or paused: at half of its lease each is metered and pays for
 * another. One whose budget has no more is warned on its streams, paused if it is to be, and ended
 * before its paid time is over; one whose timeout passed, or that was idle for too long, is ended;
 * one that ended by itself is settled.
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
  private final SandboxPauser pauser;
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
      SandboxPauser pauser,
      SandboxEnder ender,
      CompletableFuture<SandboxListener> listener,
      ScheduledExecutorService executor) {
    this.transactions = transactions;
    this.ledger = ledger;
    this.clock = clock;
    this.settings = settings;
    this.pauser = pauser;
    this.ender = ender;
    this.listener = listener;
    this.executor = executor;
  }

  /** Takes charge of a sandbox that has just become live. */
  void keep(LiveSandbox sandbox) {
    sandbox.engine().onEnd(end -> executor.execute(() -> endedByItself(sandbox, end)));
    checkIdle(sandbox);
    if (sandbox.paused() == sandbox.pausedInBooks()) {
      schedule(sandbox, renewTime(sandbox));
    } else {
      // A server was killed between holding it still and the books, or the books and letting it go.
      check(sandbox);
    }
  }

  /**
   * Pauses a sandbox and pays for a lease of paused time; leaves one that is paused, or is ending,
   * as it is.
   *
   * @throws SandkeeperException {@link ErrorReason#ENGINE_UNAVAILABLE} when it cannot be held
   *     still; {@link ErrorReason#DATABASE_UNAVAILABLE} when it stands still and the books do not
   *     have it yet, which the server settles later by itself
   */
  void pause(LiveSandbox sandbox, Principal principal) {
    inTurn(
        sandbox,
        () -> {
          if (sandbox.paused() && sandbox.pausedInBooks()) {
            return;
          }
          try {
            proceed(sandbox, pauser.pause(sandbox, Optional.of(principal)));
          } catch (EngineException e) {
            throw engineFailed(sandbox, "The engine could not pause the sandbox.", e);
          }
        });
  }

  /**
   * Pays for a whole lease of a paused sandbox and lets it go on; leaves one that runs, or is
   * ending, as it is.
   *
   * @throws SandkeeperException {@link ErrorReason#QUOTA_EXCEEDED} when a limit refuses, and it
   *     stays paused; {@link ErrorReason#ENGINE_FULL} when its engine has no place, and it does
   *     too; {@link ErrorReason#ENGINE_UNAVAILABLE} when the engine does not let it go on: it stays
   *     paused, or is ended
   */
  void resume(LiveSandbox sandbox, Principal principal) {
    inTurn(
        sandbox,
        () -> {
          if (!sandbox.paused()) {
            return;
          }
          switch (pauser.payForResume(sandbox, principal)) {
            case Extension.Renewed renewed -> goOn(sandbox, renewed.paidUntil());
            case Extension.Shortened shortened -> goOn(sandbox, shortened.paidUntil());
            case Extension.Refused refused -> throw refused.refusal().asException();
            case Extension.Full full -> throw full.engine().asException();
            case Extension.Fenced fenced -> proceed(sandbox, fenced);
          }
        });
  }

  private void goOn(LiveSandbox sandbox, Instant paidUntil) {
    try {
      renewed(sandbox, paidUntil);
      sandbox.activity().touch();
      pauser.goOn(sandbox);
    } catch (EngineException e) {
      if (sandbox.paused()) {
        check(sandbox);
      } else {
        end(sandbox, EndReason.ENGINE_FAILED, Duration.ZERO);
      }
      throw engineFailed(sandbox, "The engine could not resume the sandbox.", e);
    }
    schedule(sandbox, renewTime(sandbox));
  }

  private static void inTurn(LiveSandbox sandbox, Runnable work) {
    sandbox.turn().lock();
    try {
      if (!sandbox.ending()) {
        work.run();
      }
    } finally {
      sandbox.turn().unlock();
    }
  }

  private static SandkeeperException engineFailed(
      LiveSandbox sandbox, String message, EngineException cause) {
    return SandkeeperException.of(ErrorReason.ENGINE_UNAVAILABLE, message)
        .with("sandboxId", sandbox.id())
        .retryAfter(RETRY)
        .causedBy(cause);
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
    if (!sandbox.turn().tryLock()) {
      checkOutOfTurn(sandbox);
      return;
    }
    try {
      checkInTurn(sandbox);
    } finally {
      sandbox.turn().unlock();
    }
  }

  private void checkInTurn(LiveSandbox sandbox) {
    Instant now = clock.now();
    if (!now.isBefore(sandbox.sandbox().expireTime())) {
      end(sandbox, EndReason.TIMEOUT, STOP_GRACE);
      return;
    }
    if (endedUnseen(sandbox, now)) {
      end(sandbox, EndReason.ORPHANED, Duration.ZERO);
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
      checkAgain(sandbox);
    }
  }

  /**
   * This server stood still for so long that the engine has ended the sandbox by itself: to pay for
   * it now would bill what did not run. One that was handed out late was never paid here before.
   */
  private boolean endedUnseen(LiveSandbox sandbox, Instant now) {
    boolean late =
        sandbox
            .sandbox()
            .startTime()
            .filter(start -> !start.isBefore(sandbox.paidUntil()))
            .isPresent();
    return !late && !now.isBefore(sandbox.paidUntil().plus(settings.guestSlack()));
  }

  /**
   * It is being paused or resumed, which may take an engine longer than the lease has left, or hang
   * on the database: its lease is renewed as whatever the books have it as.
   */
  private void checkOutOfTurn(LiveSandbox sandbox) {
    Instant now = clock.now();
    if (now.isBefore(stopTime(sandbox)) && isRenewed(sandbox, now)) {
      schedule(sandbox, renewTime(sandbox));
    } else {
      checkAgain(sandbox);
    }
  }

  /** What is refused, or fails, is for whoever's turn it is next. */
  private boolean isRenewed(LiveSandbox sandbox, Instant now) {
    try {
      if (extendLease(sandbox, now) instanceof Extension.Renewed renewed) {
        renewed(sandbox, renewed.paidUntil());
        return true;
      }
    } catch (RuntimeException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.id())
          .setCause(e)
          .log("The lease of a sandbox that is being paused or resumed could not be renewed");
    }
    return false;
  }

  private void checkAgain(LiveSandbox sandbox) {
    if (clock.now().isBefore(stopTime(sandbox))) {
      schedule(sandbox, earlier(clock.now().plus(RETRY), stopTime(sandbox)));
    } else {
      end(sandbox, EndReason.ORPHANED, STOP_GRACE);
    }
  }

  private void checkIdle(LiveSandbox sandbox) {
    sandbox.sandbox().idleTimeout().ifPresent(timeout -> checkIdle(sandbox, timeout));
  }

  private void checkIdle(LiveSandbox sandbox, Duration timeout) {
    Optional<Instant> next =
        sandbox.paused()
            ? Optional.of(clock.now().plus(timeout))
            : sandbox.activity().whenIdleFor(timeout);
    if (next.isPresent()) {
      after(next.get(), () -> checkIdle(sandbox)).ifPresent(sandbox::nextIdleCheck);
    } else {
      end(sandbox, EndReason.IDLE, STOP_GRACE);
    }
  }

  private void extend(LiveSandbox sandbox, Instant now) {
    if (sandbox.paused() || sandbox.pausedInBooks()) {
      keepPaused(sandbox);
      return;
    }
    proceed(sandbox, extendLease(sandbox, now));
  }

  private Extension extendLease(LiveSandbox sandbox, Instant now) {
    UsageReading usage = sandbox.engine().usage();
    return transactions.call(transaction ->
        ledger.extend(transaction, sandbox.id(), sandbox.sandbox().generation(), usage, now));
  }

  private void keepPaused(LiveSandbox sandbox) {
    try {
      proceed(sandbox, pauser.pause(sandbox, Optional.empty()));
    } catch (EngineException e) {
      if (sandbox.paused() || !sandbox.pausedInBooks()) {
        throw e;
      }
      // It would run at the price of paused time.
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.id())
          .setCause(e)
          .log("What is paid for as paused cannot be held still; it is ended");
      end(sandbox, EndReason.ENGINE_FAILED, Duration.ZERO);
    }
  }

  private void proceed(LiveSandbox sandbox, Extension extension) {
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
      case Extension.Full full -> throw new IllegalStateException(full + " for what has a place");
      case Extension.Fenced _ -> end(sandbox, EndReason.ORPHANED, Duration.ZERO);
    }
  }

  /**
   * Has the engine keep a sandbox for as long as it is paid. What the engine was not told of does
   * not count: it ends the sandbox when it was last told to, so nothing after that is to be billed.
   */
  private void renewed(LiveSandbox sandbox, Instant paidUntil) {
    Instant known = sandbox.paidUntil();
    Instant until = known.isAfter(paidUntil) ? known : paidUntil;
    sandbox.engine().renew(Duration.between(clock.now(), until).plus(settings.guestSlack()));
    sandbox.paidUntil(until);
  }

  /**
   * Nothing is left to pay for a whole lease. One that is to be paused then is paused at once, as
   * what would pay for a little more running pays for a longer pause. Else the last moment to stop
   * is also the last to ask: the limit may have been raised by then, or its next period have begun.
   */
  private void exhausted(LiveSandbox sandbox, Refusal refusal) {
    boolean last = !clock.now().isBefore(stopTime(sandbox));
    if (!last) {
      // Only money is asked for again in a lease; the place of a sandbox stays its own.
      listener
          .join()
          .budgetWarning(
              sandbox, refusal.limitId(), new NanoUsd(refusal.remaining()), sandbox.paidUntil());
    }
    if (pausedInstead(sandbox)) {
      return;
    }
    if (last) {
      end(sandbox, EndReason.BUDGET_EXHAUSTED, STOP_GRACE);
    } else {
      schedule(sandbox, earlier(stopTime(sandbox), sandbox.sandbox().expireTime()));
    }
  }

  private boolean pausedInstead(LiveSandbox sandbox) {
    if (sandbox.sandbox().onExhaustion() != ExhaustionPolicy.PAUSE || sandbox.paused()) {
      return false;
    }
    try {
      proceed(sandbox, pauser.pause(sandbox, Optional.empty()));
      return true;
    } catch (EngineException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.id())
          .setCause(e)
          .log("The sandbox has nothing left to pay with and cannot be paused");
      return false;
    }
  }

  private void end(LiveSandbox sandbox, EndReason reason, Duration grace) {
    try {
      ender.end(sandbox, reason, grace, Optional.empty());
    } catch (RuntimeException e) {
      if (e instanceof SandkeeperException known
          && known.reason() == ErrorReason.SANDBOX_TAKEN_OVER) {
        return; // ended here, and settled by the other server
      }
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandbox.id())
          .setCause(e)
          .log("The sandbox has ended but is not settled yet; the sweeper goes on with it");
    }
  }

  private void schedule(LiveSandbox sandbox, Instant at) {
    after(at, () -> check(sandbox)).ifPresent(sandbox::nextCheck);
  }

  private Optional<Future<?>> after(Instant time, Runnable work) {
    long delay = Math.max(0, Duration.between(clock.now(), time).toNanos());
    try {
      return Optional.of(executor.schedule(work, delay, TimeUnit.NANOSECONDS));
    } catch (RejectedExecutionException e) {
      logger.debug("The server stops; the next one takes the sandbox up", e);
      return Optional.empty();
    }
  }

  private static Instant earlier(Instant one, Instant other) {
    return one.isBefore(other) ? one : other;
  }
}
