package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;

/** The limits: how much money each tenant may spend in a period. A tenant without any may spend. */
public final class Limits {
  /** The highest limit: a thousand million USD. */
  public static final NanoUsd MAX_AMOUNT = new NanoUsd(1_000_000_000_000_000_000L);

  private final LimitRepository repository;

  /** Makes the limits. */
  public Limits(LimitRepository repository) {
    this.repository = repository;
  }

  /**
   * Sets the limit of a tenant and period, or changes its amount. A new one starts from what the
   * period's records hold and takes over the open holds. Lowered below what is used, it admits
   * nothing new, and leases run out.
   *
   * @param amount 0 to {@link #MAX_AMOUNT}
   * @throws SandkeeperException with {@link ErrorReason#INVALID_FIELD} for another amount, {@link
   *     ErrorReason#TENANT_NOT_FOUND}
   */
  public Limit set(
      Transaction transaction, TenantId tenantId, LimitPeriod period, NanoUsd amount, Instant now) {
    if (amount.compareTo(NanoUsd.ZERO) < 0 || amount.compareTo(MAX_AMOUNT) > 0) {
      throw SandkeeperException.invalidField(
          "amount_nano_usd", amount.value() + " (expected: 0 to " + MAX_AMOUNT.value() + ")");
    }
    return repository
        .set(transaction, tenantId, period, amount, now)
        .orElseThrow(() ->
            SandkeeperException.of(ErrorReason.TENANT_NOT_FOUND, "There is no such tenant.")
                .with("tenantId", tenantId));
  }

  /**
   * Deletes a limit with its counters; what was booked stays booked.
   *
   * @throws SandkeeperException with {@link ErrorReason#LIMIT_NOT_FOUND}
   */
  public void delete(Transaction transaction, String limitId) {
    if (!repository.delete(transaction, limitId)) {
      throw notFound(limitId);
    }
  }

  /**
   * Returns a limit.
   *
   * @throws SandkeeperException with {@link ErrorReason#LIMIT_NOT_FOUND}
   */
  public Limit get(String limitId) {
    return repository.find(limitId).orElseThrow(() -> notFound(limitId));
  }

  /** Returns the limits of a tenant, shortest period first. */
  public List<Limit> list(TenantId tenantId) {
    return repository.list(tenantId);
  }

  /** Returns what is left of each limit of a tenant now, shortest period first. */
  public List<QuotaStatus> quota(TenantId tenantId, Instant now) {
    return repository.quota(tenantId, now);
  }

  private static SandkeeperException notFound(String limitId) {
    return SandkeeperException.of(ErrorReason.LIMIT_NOT_FOUND, "There is no such limit.")
        .with("limitId", limitId);
  }
}
