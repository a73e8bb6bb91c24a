package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import java.util.List;
import java.util.Optional;
import java.util.function.IntConsumer;

/**
 * Money that others spend on language models, on the same limits as sandboxes: it is set aside
 * before, and settled with what it came to, or given back. What is not settled in time is given
 * back by {@link #releaseExpired}.
 *
 * <p>What has happened is booked in any case, also past a limit or past what was set aside; an
 * overrun of a hard limit is recorded.
 */
public final class LlmSpend {
  private static final int EXPIRED_AT_ONCE = 100;

  private final Transactions transactions;
  private final LlmRepository repository;
  private final BillingClock clock;
  private final Batcher<LlmReservation, LlmRepository.Answer> reserving;
  private final Batcher<LlmSettlement, LlmRepository.Ending> settling;

  /**
   * Makes it.
   *
   * @param batchSize told how many were decided at once
   */
  public LlmSpend(
      Transactions transactions,
      LlmRepository repository,
      BillingClock clock,
      IntConsumer batchSize) {
    this.transactions = transactions;
    this.repository = repository;
    this.clock = clock;
    this.reserving =
        new Batcher<>(batch -> {
          batchSize.accept(batch.size());
          return transactions.single(tx -> repository.reserve(tx, batch, clock.now()));
        });
    this.settling =
        new Batcher<>(batch -> {
          batchSize.accept(batch.size());
          return transactions.single(tx -> repository.settle(tx, batch, clock.now()));
        });
  }

  /**
   * Sets money aside. Repeated, it answers with the hold as it is by then.
   *
   * @throws SandkeeperException with {@link ErrorReason#QUOTA_EXCEEDED}, {@link
   *     ErrorReason#NO_PRICE_FOR_MODEL}, {@link ErrorReason#REQUEST_ID_REUSED}, {@link
   *     ErrorReason#REQUEST_ID_EXPIRED}
   */
  public LlmHold reserve(LlmReservation reservation) {
    while (true) {
      LlmRepository.Answer answer = reserving.ask(reservation);
      if (!(answer instanceof LlmRepository.Answer.Again)) {
        return hold(reservation, answer);
      }
    }
  }

  /**
   * Books what was spent and gives the rest back, or, without a cost, gives all back. Repeated with
   * the same, it answers the same.
   *
   * @throws SandkeeperException with {@link ErrorReason#HOLD_NOT_FOUND}, {@link
   *     ErrorReason#HOLD_ENDED} when it ended otherwise before, {@link
   *     ErrorReason#NO_PRICE_FOR_MODEL} when the model had no price when it was reserved
   */
  public LlmHold end(LlmSettlement settlement) {
    return ended(settlement, settling.ask(settlement));
  }

  /**
   * Books what was spent without money having been set aside. Repeated, it answers the same.
   *
   * @throws SandkeeperException with {@link ErrorReason#NO_PRICE_FOR_MODEL}, {@link
   *     ErrorReason#REQUEST_ID_REUSED}, {@link ErrorReason#REQUEST_ID_EXPIRED}
   */
  public LlmHold record(LlmReservation spent) {
    return transactions.call(transaction -> record(transaction, spent));
  }

  private LlmHold record(Transaction transaction, LlmReservation spent) {
    LlmReservation nothing =
        new LlmReservation(
            spent.tenantId(),
            spent.requestKey(),
            spent.attribution(),
            new LlmCost.Amount(NanoUsd.ZERO, ""),
            spent.timeToLive());
    LlmHold hold =
        hold(spent, repository.reserve(transaction, List.of(nothing), clock.now()).getFirst());
    if (hold.state() != HoldState.OPEN) {
      return hold;
    }
    LlmSettlement settlement =
        new LlmSettlement(
            spent.tenantId(), Optional.empty(), hold.holdId(), Optional.of(spent.cost()));
    return ended(
        settlement, repository.settle(transaction, List.of(settlement), clock.now()).getFirst());
  }

  /** Gives back what was set aside and not settled in time. */
  public void releaseExpired() {
    List<LlmSettlement> expired;
    do {
      expired = repository.expired(clock.now(), EXPIRED_AT_ONCE);
      List<LlmSettlement> releases = expired;
      if (!releases.isEmpty()) {
        transactions.single(tx -> repository.settle(tx, releases, clock.now()));
      }
    } while (expired.size() == EXPIRED_AT_ONCE);
  }

  private static LlmHold hold(LlmReservation reservation, LlmRepository.Answer answer) {
    return switch (answer) {
      case LlmRepository.Answer.Granted granted -> granted.hold();
      case LlmRepository.Answer.Replayed replayed -> {
        reservation.requestKey().requireSame(replayed.requestHash());
        yield replayed.hold();
      }
      case LlmRepository.Answer.Denied denied -> throw denied.refusal().asException();
      case LlmRepository.Answer.OtherKind _ -> throw reservation.requestKey().reused();
      case LlmRepository.Answer.Gone _ -> throw reservation.requestKey().expired();
      case LlmRepository.Answer.NoPrice _ -> throw noPrice(Optional.of(reservation.cost()));
      case LlmRepository.Answer.Again _ ->
          throw new IllegalStateException("a batch of one had an equal: " + reservation);
    };
  }

  private static LlmHold ended(LlmSettlement settlement, LlmRepository.Ending ending) {
    return switch (ending) {
      case LlmRepository.Ending.Ended ended -> ended.hold();
      case LlmRepository.Ending.EndedBefore before ->
          throw SandkeeperException.of(
                  ErrorReason.HOLD_ENDED,
                  "The hold ended before, otherwise than asked for now; what was spent beyond it can be recorded by itself.")
              .with("holdId", settlement.holdId())
              .with("endReason", before.reason())
              .with("settledNanoUsd", before.hold().settled().orElse(NanoUsd.ZERO).value());
      case LlmRepository.Ending.Unknown _ ->
          throw SandkeeperException.of(ErrorReason.HOLD_NOT_FOUND, "There is no such hold.")
              .with("holdId", settlement.holdId());
      case LlmRepository.Ending.NoPrice _ -> throw noPrice(settlement.cost());
    };
  }

  private static SandkeeperException noPrice(Optional<LlmCost> cost) {
    SandkeeperException exception =
        SandkeeperException.of(
            ErrorReason.NO_PRICE_FOR_MODEL,
            "The model has no price, so what its tokens cost is not known; set one, or give an amount.");
    return cost.isPresent() && cost.get() instanceof LlmCost.Tokens tokens
        ? exception.with("model", tokens.usage().model())
        : exception;
  }
}
