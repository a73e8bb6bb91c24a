package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;

/** Keeps what language models cost, in batches. */
public interface LlmRepository {

  /** The answer to a reservation. */
  sealed interface Answer {
    /** The money is set aside. */
    record Granted(LlmHold hold) implements Answer {}

    /**
     * It was before.
     *
     * @param hold as it is now
     * @param requestHash what was asked for then
     */
    record Replayed(LlmHold hold, byte[] requestHash) implements Answer {}

    /** A limit refused. */
    record Denied(Refusal refusal) implements Answer {}

    /** The request id was used for a sandbox. */
    record OtherKind() implements Answer {}

    /** The request id was used before, for a spend whose record is no longer kept. */
    record Gone() implements Answer {}

    /** The model has no price. */
    record NoPrice() implements Answer {}

    /** Decided together with its equal, which was refused. */
    record Again() implements Answer {}
  }

  /** How a hold ended. */
  sealed interface Ending {
    /** By this call, or just so before. */
    record Ended(LlmHold hold) implements Ending {}

    /**
     * Otherwise, before.
     *
     * @param hold as it ended
     * @param reason SETTLED, RELEASED or EXPIRED
     */
    record EndedBefore(LlmHold hold, String reason) implements Ending {}

    /** The tenant has no such hold. */
    record Unknown() implements Ending {}

    /** The model had no price when it was reserved. */
    record NoPrice() implements Ending {}
  }

  /** Decides reservations in their order; answers in the same. */
  List<Answer> reserve(Transaction transaction, List<LlmReservation> reservations, Instant now);

  /** Ends holds in their order; answers in the same. */
  List<Ending> settle(Transaction transaction, List<LlmSettlement> settlements, Instant now);

  /** Returns the releases of holds that were open longer than they may, at most so many. */
  List<LlmSettlement> expired(Instant now, int max);
}
