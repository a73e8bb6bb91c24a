package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;

/** Books corrections and credits. Each method is one round trip and all or nothing. */
public interface AdjustmentRepository {
  /** What became of one. */
  sealed interface Answer {
    /** It is booked. */
    record Booked(String costRecordId) implements Answer {}

    /**
     * The request was booked before; nothing has changed.
     *
     * @param costRecordId what was booked
     * @param requestHash the hash of that request
     */
    record Replayed(String costRecordId, byte[] requestHash) implements Answer {}

    /** The request was booked before, and its record is no longer kept. */
    record Gone() implements Answer {}

    /** The tenant has no such record. */
    record NoRecord() implements Answer {}

    /** The record is a correction itself. */
    record OfCorrection() implements Answer {}

    /**
     * It is more than the record comes to.
     *
     * @param left what the record comes to with its corrections
     */
    record TooMuch(NanoUsd left) implements Answer {}

    /** There is no such tenant. */
    record NoTenant() implements Answer {}
  }

  /** Books a correction. */
  Answer correct(Transaction transaction, Correction correction, Instant now);

  /** Books a credit. */
  Answer credit(Transaction transaction, Credit credit, Instant now);
}
