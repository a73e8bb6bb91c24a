package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;

/** Keeps what language models cost, in batches. */
public interface LlmRepository {

  /** What is asked of the books. */
  sealed interface Request {
    /** To set money aside. */
    record Reserve(LlmReservation reservation) implements Request {}

    /** To book what was spent without money having been set aside. */
    record Book(LlmReservation spent) implements Request {}

    /** To end a hold. */
    record End(LlmSettlement settlement) implements Request {}
  }

  /** What the books answer. */
  sealed interface Answer {
    /** The money is set aside, or booked. */
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

    /** Decided together with its equal, which was refused. */
    record Again() implements Answer {}

    /** The hold ended by this call, or just so before. */
    record Ended(LlmHold hold) implements Answer {}

    /**
     * The hold ended otherwise, before.
     *
     * @param hold as it ended
     * @param reason SETTLED, RELEASED or EXPIRED
     */
    record EndedBefore(LlmHold hold, String reason) implements Answer {}

    /** The tenant has no such hold. */
    record Unknown() implements Answer {}

    /** The model has no price now, or had none when what is to end was reserved. */
    record NoPrice() implements Answer {}
  }

  /** Decides a batch, first what ends holds, then the rest in its order; answers in order. */
  List<Answer> decide(Transaction transaction, List<Request> requests, Instant now);

  /** Returns the releases of holds that were open longer than they may, at most so many. */
  List<Request> expired(Instant now, int max);
}
