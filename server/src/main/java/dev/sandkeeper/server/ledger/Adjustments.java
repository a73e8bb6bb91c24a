package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;

/**
 * What the operator books: corrections of cost records and credits, each a record of its own.
 *
 * <p>A correction belongs to the period of the record that it corrects, a credit to the present
 * ones. Both move what is spent of the limits that cover them.
 */
public final class Adjustments {
  private final AdjustmentRepository repository;

  /** Makes it. */
  public Adjustments(AdjustmentRepository repository) {
    this.repository = repository;
  }

  /**
   * What was booked.
   *
   * @param costRecordId the record that books it
   * @param replayed whether an equal request had booked it before
   */
  public record Booked(String costRecordId, boolean replayed) {}

  /**
   * Corrects what a cost record came to. With all its corrections usage comes to zero or more, a
   * credit to zero or less.
   *
   * @throws SandkeeperException with {@link ErrorReason#COST_RECORD_NOT_FOUND}, {@link
   *     ErrorReason#CORRECTION_REFUSED}, {@link ErrorReason#REQUEST_ID_REUSED}, {@link
   *     ErrorReason#REQUEST_ID_EXPIRED}
   */
  public Booked correct(Transaction transaction, Correction correction, Instant now) {
    AdjustmentRepository.Answer answer = repository.correct(transaction, correction, now);
    return switch (answer) {
      case AdjustmentRepository.Answer.NoRecord _ -> throw noRecord(correction.costRecordId());
      case AdjustmentRepository.Answer.OfCorrection _ ->
          throw refused(
              "The record is a correction; correct the one that it corrects.", correction);
      case AdjustmentRepository.Answer.TooMuch tooMuch ->
          throw refused("The correction is more than the record comes to.", correction)
              .with("leftNanoUsd", tooMuch.left().value());
      default -> booked(answer, correction.requestKey(), correction.tenantId());
    };
  }

  /**
   * Gives a credit, which may exceed what was spent.
   *
   * @throws SandkeeperException with {@link ErrorReason#TENANT_NOT_FOUND}, {@link
   *     ErrorReason#REQUEST_ID_REUSED}, {@link ErrorReason#REQUEST_ID_EXPIRED}
   */
  public Booked credit(Transaction transaction, Credit credit, Instant now) {
    return booked(
        repository.credit(transaction, credit, now), credit.requestKey(), credit.tenantId());
  }

  /** Makes the refusal of a record that is not there. */
  public static SandkeeperException noRecord(String costRecordId) {
    return SandkeeperException.of(
            ErrorReason.COST_RECORD_NOT_FOUND,
            "There is no such cost record, or it is no longer kept.")
        .with("costRecordId", costRecordId);
  }

  private static Booked booked(
      AdjustmentRepository.Answer answer, RequestKey requestKey, TenantId tenantId) {
    return switch (answer) {
      case AdjustmentRepository.Answer.Booked booked -> new Booked(booked.costRecordId(), false);
      case AdjustmentRepository.Answer.Replayed replayed -> {
        requestKey.requireSame(replayed.requestHash());
        yield new Booked(replayed.costRecordId(), true);
      }
      case AdjustmentRepository.Answer.Gone _ -> throw requestKey.expired();
      case AdjustmentRepository.Answer.NoTenant _ ->
          throw SandkeeperException.of(ErrorReason.TENANT_NOT_FOUND, "There is no such tenant.")
              .with("tenantId", tenantId);
      default -> throw new IllegalStateException("an adjustment was answered " + answer);
    };
  }

  private static SandkeeperException refused(String message, Correction correction) {
    return SandkeeperException.of(ErrorReason.CORRECTION_REFUSED, message)
        .with("costRecordId", correction.costRecordId())
        .with("amountNanoUsd", correction.amount().value());
  }
}
