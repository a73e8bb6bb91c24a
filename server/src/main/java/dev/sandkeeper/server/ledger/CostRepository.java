package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Reads what was billed. */
public interface CostRepository {
  /** Returns a page of cost records, newest span first. */
  Page<CostRecord> list(CostQuery query, Page.Request page);

  /** Returns a tenant's cost record; empty when there is none, or not any more. */
  Optional<CostRecord> find(TenantId tenantId, String costRecordId);

  /**
   * Returns sums of cost records, by bucket, then largest first: of all that are committed.
   *
   * @param maxRows how many rows at most; what is beyond is left out
   */
  List<CostReportRow> report(CostReportQuery query, int maxRows);

  /**
   * Returns what a sandbox has used and what has been booked for it; empty when there is none.
   *
   * @param now the end of the lifetime of one that runs
   */
  Optional<SandboxUsage> usage(SandboxId sandboxId, Instant now);
}
