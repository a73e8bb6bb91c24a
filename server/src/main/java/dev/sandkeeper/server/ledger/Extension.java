package dev.sandkeeper.server.ledger;

import java.time.Instant;

/** The ledger's answer to whether a sandbox may go on, running or paused. */
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
   * @param refusal by which limit the whole lease was refused
   */
  record Shortened(Instant paidUntil, Refusal refusal) implements Extension {}

  /**
   * A limit pays for nothing more; what was paid already stays.
   *
   * @param paidUntil the end of the lease, as it was
   * @param refusal by which limit
   */
  record Refused(Instant paidUntil, Refusal refusal) implements Extension {}

  /**
   * Its engine runs as many as it may, so that it stays paused; nothing has changed.
   *
   * @param engine the engine
   */
  record Full(EngineFull engine) implements Extension {}

  /**
   * The sandbox is neither running nor paused, or another owner has claimed it; nothing has
   * changed.
   */
  record Fenced() implements Extension {}
}
