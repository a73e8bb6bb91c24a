package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transactions;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
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
  private final BiConsumer<TenantId, Refusal> denied;
  private final Batcher<LlmRepository.Request, LlmRepository.Answer> batcher;

  /**
   * Makes it.
   *
   * @param batchSize told how many were decided at once
   * @param denied told whom a limit refused
   */
  public LlmSpend(
      Transactions transactions,
      LlmRepository repository,
      BillingClock clock,
      IntConsumer batchSize,
      BiConsumer<TenantId, Refusal> denied) {
    this.transactions = transactions;
    this.repository = repository;
    this.clock = clock;
    this.denied = denied;
    this.batcher =
        new Batcher<>(batch -> {
          batchSize.accept(batch.size());
          return decide(batch);
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
    return granted(new LlmRepository.Request.Reserve(reservation), reservation);
  }

  /**
   * Books what was spent without money having been set aside. Repeated, it answers the same.
   *
   * @throws SandkeeperException with {@link ErrorReason#NO_PRICE_FOR_MODEL}, {@link
   *     ErrorReason#REQUEST_ID_REUSED}, {@link ErrorReason#REQUEST_ID_EXPIRED}
   */
  public LlmHold record(LlmReservation spent) {
    return granted(new LlmRepository.Request.Book(spent), spent);
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
    return switch (batcher.ask(new LlmRepository.Request.End(settlement))) {
      case LlmRepository.Answer.Ended ended -> ended.hold();
      case LlmRepository.Answer.EndedBefore before ->
          throw SandkeeperException.of(
                  ErrorReason.HOLD_ENDED,
                  "The hold ended before, otherwise than asked for now; what was spent beyond it can be recorded by itself.")
              .with("holdId", settlement.holdId())
              .with("endReason", before.reason())
              .with("settledNanoUsd", before.hold().settled().orElse(NanoUsd.ZERO).value());
      case LlmRepository.Answer.Unknown _ ->
          throw SandkeeperException.of(ErrorReason.HOLD_NOT_FOUND, "There is no such hold.")
              .with("holdId", settlement.holdId());
      case LlmRepository.Answer.NoPrice _ -> throw noPrice(settlement.cost());
      case LlmRepository.Answer other -> throw unexpected(other);
    };
  }

  /** Gives back what was set aside and not settled in time. */
  public void releaseExpired() {
    List<LlmRepository.Request> expired;
    do {
      expired = repository.expired(clock.now(), EXPIRED_AT_ONCE);
      if (!expired.isEmpty()) {
        decide(expired);
      }
    } while (expired.size() == EXPIRED_AT_ONCE);
  }

  private List<LlmRepository.Answer> decide(List<LlmRepository.Request> requests) {
    return transactions.single(tx -> repository.decide(tx, requests, clock.now()));
  }

  private LlmHold granted(LlmRepository.Request request, LlmReservation reservation) {
    while (true) {
      switch (batcher.ask(request)) {
        case LlmRepository.Answer.Granted granted -> {
          return granted.hold();
        }
        case LlmRepository.Answer.Replayed replayed -> {
          reservation.requestKey().requireSame(replayed.requestHash());
          return replayed.hold();
        }
        case LlmRepository.Answer.Again _ -> {
          // Its equal was refused in the same batch, which says nothing of this one.
        }
        case LlmRepository.Answer.Denied answer -> {
          denied.accept(reservation.tenantId(), answer.refusal());
          throw answer.refusal().asException();
        }
        case LlmRepository.Answer.OtherKind _ -> throw reservation.requestKey().reused();
        case LlmRepository.Answer.Gone _ -> throw reservation.requestKey().expired();
        case LlmRepository.Answer.NoPrice _ -> throw noPrice(Optional.of(reservation.cost()));
        case LlmRepository.Answer other -> throw unexpected(other);
      }
    }
  }

  private static IllegalStateException unexpected(LlmRepository.Answer answer) {
    return new IllegalStateException("the books answered " + answer);
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
