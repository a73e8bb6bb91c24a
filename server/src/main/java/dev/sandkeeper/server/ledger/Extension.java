package dev.sandkeeper.server.ledger;

import java.time.Instant;
import java.util.Optional;

/** The ledger's answer to whether a running sandbox may go on. */
public sealed interface Extension {

  /**
   * It may.
   *
   * @param paidUntil the end of the new lease
   */
  record Renewed(Instant paidUntil) implements Extension {}

  /**
   * A limit pays for no more than this: the last lease.
   *
   * @param paidUntil the end of the new lease, later than before
   * @param limitId the limit
   * @param period its period
   * @param remaining what the limit had left for the lease, nano-USD
   * @param resetTime when its next period begins; empty for a limit that never resets
   */
  record Shortened(
      Instant paidUntil,
      String limitId,
      LimitPeriod period,
      NanoUsd remaining,
      Optional<Instant> resetTime)
      implements Extension {}

  /**
   * A limit pays for nothing more; what was paid already stays.
   *
   * @param paidUntil the end of the lease, as it was
   * @param limitId the limit
   * @param period its period
   * @param remaining what the limit had left for the lease, nano-USD
   * @param resetTime when its next period begins; empty for a limit that never resets
   */
  record Refused(
      Instant paidUntil,
      String limitId,
      LimitPeriod period,
      NanoUsd remaining,
      Optional<Instant> resetTime)
      implements Extension {}

  /** The sandbox is not running, or another owner has claimed it; nothing has changed. */
  record Fenced() implements Extension {}
}
