package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import java.time.Instant;
import java.util.Optional;

/** Reads what was billed. */
public interface CostRepository {
  /** Returns a page of cost records, newest span first. */
  Page<CostRecord> list(CostQuery query, Page.Request page);

  /**
   * Returns what a sandbox has used and what has been booked for it; empty when there is none.
   *
   * @param now the end of the lifetime of one that runs
   */
  Optional<SandboxUsage> usage(SandboxId sandboxId, Instant now);
}
