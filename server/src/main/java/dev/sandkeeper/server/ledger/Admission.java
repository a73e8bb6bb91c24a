package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Instant;

/** The ledger's answer to whether something may start. */
public sealed interface Admission {

  /**
   * It may: the money is set aside.
   *
   * @param holdId the hold
   * @param paidUntil the end of the lease; the time to stop is held on top of it
   * @param amount what is held, nano-USD
   */
  record Granted(long holdId, Instant paidUntil, NanoUsd amount) implements Admission {}

  /**
   * It may not, and nothing has changed.
   *
   * @param refusal by which limit
   */
  record Denied(Refusal refusal) implements Admission {}

  /**
   * It may not, as its tier has no price for all of the lease; nothing has changed.
   *
   * @param tier the tier
   */
  record NoPrice(String tier) implements Admission {

    /** Returns what the caller is told. */
    public SandkeeperException asException() {
      return SandkeeperException.of(
              ErrorReason.NO_PRICE_FOR_TIER,
              "The tier has no price now, so nothing of it starts; set one.")
          .with("tier", tier);
    }
  }

  /**
   * It may not, as its engine runs as many as it may; nothing has changed.
   *
   * @param engine the engine
   */
  record Full(EngineFull engine) implements Admission {}

  /** The request id was used for another kind of spend; nothing has changed. */
  record OtherKind() implements Admission {}

  /** The request id was used before, for something whose records are no longer kept. */
  record Gone() implements Admission {}

  /**
   * The request was admitted before; nothing has changed.
   *
   * @param sandboxId the sandbox it was admitted for
   */
  record Replayed(SandboxId sandboxId) implements Admission {}
}
