package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps what came of comparing the books with the engines' own records. */
public interface ReconciliationRepository {

  /**
   * A sandbox that the caller is to compare, and nobody else.
   *
   * @param remoteId what the service behind the engine calls it; empty where that is not known
   * @param billed how long it was billed as running, pauses left out
   * @param endTime when it ended
   */
  record Claimed(
      SandboxId sandboxId,
      TenantId tenantId,
      Optional<String> remoteId,
      Duration billed,
      Instant endTime) {}

  /**
   * Which sandboxes a claim is for.
   *
   * @param engine theirs
   * @param endedAfter new ones ended after this
   * @param endedUntil new ones ended at this or before
   * @param max how many at most
   */
  record Due(String engine, Instant endedAfter, Instant endedUntil, int max) {}

  /**
   * Claims sandboxes that started, have ended, and are not compared yet: new ones, and those whose
   * claim is over.
   *
   * @param until how long they are claimed
   */
  List<Claimed> claim(Transaction transaction, Due due, Instant now, Instant until);

  /**
   * Writes what came of a sandbox that was claimed.
   *
   * @return false when it is written already; nothing changes then
   */
  boolean complete(Transaction transaction, Reconciliation reconciliation);

  /**
   * Returns a page of what came of it, the newest first.
   *
   * @param engine of which alone
   * @param driftedOnly leaves out where both agree
   */
  Page<Reconciliation> list(Optional<String> engine, boolean driftedOnly, Page.Request page);
}
