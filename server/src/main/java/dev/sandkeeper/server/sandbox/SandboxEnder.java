package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.Settlement;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ends sandboxes, for whatever reason: the processes first, then the books. There is no other way
 * to end one.
 *
 * <p>What the database does not take at the moment is kept here and settled by {@link
 * #settleUnsettled}; if this server is killed before, the next one estimates, never past what was
 * paid.
 */
final class SandboxEnder {
  private static final Logger logger = LoggerFactory.getLogger(SandboxEnder.class);
  private static final Duration EXECUTIONS_TIMEOUT = Duration.ofSeconds(5);
  private static final Duration RETRY_DELAY = Duration.ofSeconds(5);
  private static final Duration MARK_TIMEOUT = Duration.ofMillis(250);

  private final Transactions transactions;
  private final SandboxRepository repository;
  private final Ledger ledger;
  private final SandboxAudit audit;
  private final BillingClock clock;
  private final SandboxSettings settings;
  private final LiveSandboxes live;
  private final CompletableFuture<SandboxListener> listener;
  private final Instruments instruments;
  private final Map<SandboxId, Unsettled> unsettled = new ConcurrentHashMap<>();

  /** An end that the books do not have yet. */
  private record Unsettled(
      Sandbox sandbox,
      Optional<UsageReading> usage,
      Instant endTime,
      EndReason reason,
      Optional<Principal> principal) {}

  /**
   * Makes the ender.
   *
   * @param listener told before a sandbox is settled; completed when the server is assembled
   */
  SandboxEnder(
      Transactions transactions,
      SandboxRepository repository,
      Ledger ledger,
      SandboxAudit audit,
      BillingClock clock,
      SandboxSettings settings,
      LiveSandboxes live,
      CompletableFuture<SandboxListener> listener,
      Instruments instruments) {
    this.transactions = transactions;
    this.repository = repository;
    this.ledger = ledger;
    this.audit = audit;
    this.clock = clock;
    this.settings = settings;
    this.live = live;
    this.listener = listener;
    this.instruments = instruments;
  }

  /**
   * Ends a live sandbox and returns it settled; when its end has begun, waits for that.
   *
   * @param grace how long its processes may take after SIGTERM; none if it is paused
   * @param principal who asked for it; empty when the server did
   */
  Sandbox end(
      LiveSandbox sandbox, EndReason reason, Duration grace, Optional<Principal> principal) {
    CompletableFuture<Sandbox> mine = new CompletableFuture<>();
    CompletableFuture<Sandbox> other = sandbox.beginEnd(mine);
    if (other != null) {
      try {
        return other.join();
      } catch (CompletionException e) {
        throw e.getCause() instanceof RuntimeException cause ? cause : e;
      }
    }
    try {
      Sandbox ended = stopAndSettle(sandbox, reason, grace, principal);
      mine.complete(ended);
      return ended;
    } catch (RuntimeException e) {
      mine.completeExceptionally(e);
      throw e;
    } finally {
      live.remove(sandbox);
    }
  }

  /** Settles what could not be settled before, as far as it can be now. */
  void settleUnsettled() {
    for (Unsettled end : unsettled.values()) {
      try {
        settle(end);
      } catch (RuntimeException e) {
        if (e instanceof SandkeeperException known
            && known.reason() == ErrorReason.DATABASE_UNAVAILABLE) {
          throw e;
        }
        // One that the database refuses does not keep the others from being settled.
        logger
            .atError()
            .addKeyValue(LogKeys.SANDBOX, end.sandbox().sandboxId())
            .setCause(e)
            .log("The sandbox cannot be settled; trying again");
      }
    }
  }

  /** Says whether the sandbox has ended and waits to be settled. */
  boolean isUnsettled(SandboxId sandboxId) {
    return unsettled.containsKey(sandboxId);
  }

  /**
   * Settles a sandbox whose processes are gone.
   *
   * @param usage what it used; empty when nobody knows
   * @param endTime when it ended, or is taken to have ended
   */
  Sandbox settle(
      Sandbox sandbox,
      Optional<UsageReading> usage,
      Instant endTime,
      EndReason reason,
      Optional<Principal> principal) {
    Unsettled end = new Unsettled(sandbox, usage, endTime, reason, principal);
    unsettled.put(sandbox.sandboxId(), end);
    return settle(end);
  }

  private Sandbox settle(Unsettled end) {
    Sandbox sandbox = end.sandbox();
    Settlement settlement = book(end);
    unsettled.remove(sandbox.sandboxId());
    if (settlement.outcome() == Settlement.Outcome.SETTLED) {
      measure(sandbox, end.reason(), settlement);
    }
    logger
        .atInfo()
        .addKeyValue(LogKeys.SANDBOX, sandbox.sandboxId())
        .addKeyValue(LogKeys.TENANT, sandbox.tenantId())
        .addKeyValue("reason", end.reason())
        .addKeyValue("costNanoUsd", settlement.cost().value())
        .log("Sandbox ended and settled");
    return repository
        .find(sandbox.sandboxId())
        .orElseThrow(() -> new IllegalStateException("no row of sandbox " + sandbox.sandboxId()));
  }

  private Settlement book(Unsettled end) {
    Sandbox sandbox = end.sandbox();
    try {
      return transactions.call(transaction -> {
        listener.join().loseExecutions(transaction, sandbox, end.endTime());
        Settlement settled =
            ledger.settle(
                transaction,
                sandbox.sandboxId(),
                sandbox.generation(),
                end.usage(),
                end.endTime(),
                end.reason());
        if (settled.outcome() != Settlement.Outcome.ALREADY_ENDED) {
          audit.terminated(transaction, end.principal(), sandbox, end.reason(), settled);
        }
        return settled;
      });
    } catch (SandkeeperException e) {
      if (e.reason() == ErrorReason.SANDBOX_TAKEN_OVER) {
        // Its books are the other server's now, and so is the settlement.
        unsettled.remove(sandbox.sandboxId(), end);
        logger
            .atWarn()
            .addKeyValue(LogKeys.SANDBOX, sandbox.sandboxId())
            .log("Another server has taken the sandbox over and settles it");
      }
      throw e;
    }
  }

  private void measure(Sandbox sandbox, EndReason reason, Settlement settlement) {
    String tenant = sandbox.tenantId().value();
    long cost = settlement.cost().value();
    instruments.sandboxEnded(sandbox.tier(), reason.name(), settlement.lifetime(), cost);
    instruments.costBooked(tenant, sandbox.tier(), sandbox.engine(), "settle", cost);
    settlement.cpuMicros().ifPresent(micros -> instruments.cpuUsed(tenant, micros));
    settlement.memoryMibMillis().ifPresent(mibMillis -> instruments.memoryUsed(tenant, mibMillis));
  }

  private Sandbox stopAndSettle(
      LiveSandbox sandbox, EndReason reason, Duration grace, Optional<Principal> principal) {
    sandbox.cancelChecks();
    markStopping(sandbox, reason);
    // The grace of a paused one would run at the price of paused time.
    UsageReading usage = destroy(sandbox, reason, sandbox.paused() ? Duration.ZERO : grace);
    Instant endTime = endTime(sandbox);
    listener.join().awaitExecutions(sandbox.id(), EXECUTIONS_TIMEOUT);
    return settle(sandbox.sandbox(), Optional.of(usage), endTime, reason, principal);
  }

  /** An engine may take long to end what has ended by itself at the end of its paid time. */
  private Instant endTime(LiveSandbox sandbox) {
    Instant now = clock.now();
    Instant last = sandbox.paidUntil().plus(settings.guestSlack());
    return now.isBefore(last) ? now : last;
  }

  /**
   * Lets the books tell that it is being ended, and why, should this server be killed now. Does not
   * wait for a database that is away: until the processes are gone the sandbox costs money.
   */
  private void markStopping(LiveSandbox sandbox, EndReason reason) {
    Thread marking =
        Thread.ofVirtual()
            .name("mark-stopping")
            .start(() -> {
              try {
                transactions.run(transaction ->
                    repository.stop(
                        transaction, sandbox.id(), sandbox.sandbox().generation(), reason));
              } catch (RuntimeException e) {
                logger
                    .atWarn()
                    .addKeyValue(LogKeys.SANDBOX, sandbox.id())
                    .setCause(e)
                    .log("The books do not tell that the sandbox is being ended");
              }
            });
    try {
      marking.join(MARK_TIMEOUT);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Ends the processes. While they may run on, the hold stays open, and the sweeper tries again.
   */
  private UsageReading destroy(LiveSandbox sandbox, EndReason reason, Duration grace) {
    long start = System.nanoTime();
    boolean destroyed = false;
    try {
      UsageReading usage = sandbox.engine().destroy(grace);
      destroyed = true;
      return usage;
    } catch (EngineException e) {
      throw SandkeeperException.of(
              ErrorReason.ENGINE_UNAVAILABLE,
              "The engine could not end the sandbox; the server goes on trying.")
          .with("sandboxId", sandbox.id())
          .retryAfter(RETRY_DELAY)
          .causedBy(e);
    } finally {
      instruments.cleanedUp(reason.name(), destroyed, Duration.ofNanos(System.nanoTime() - start));
    }
  }
}
