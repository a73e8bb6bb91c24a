package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps limits and their counters. */
public interface LimitRepository {
  /**
   * Sets the limit of a tenant and period.
   *
   * @return the limit; empty when there is no such tenant
   */
  Optional<Limit> set(
      Transaction transaction, TenantId tenantId, LimitPeriod period, NanoUsd amount, Instant now);

  /** Deletes a limit; says whether there was one. */
  boolean delete(Transaction transaction, String limitId);

  /** Returns a limit. */
  Optional<Limit> find(String limitId);

  /** Returns the limits of a tenant, shortest period first. */
  List<Limit> list(TenantId tenantId);

  /** Returns what is left of each limit of a tenant, shortest period first. */
  List<QuotaStatus> quota(TenantId tenantId, Instant now);
}
