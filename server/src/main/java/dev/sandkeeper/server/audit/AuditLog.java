package dev.sandkeeper.server.audit;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.util.Optional;
import java.util.OptionalLong;

/** The record of who did what. Events are added, never changed. */
public interface AuditLog {

  /**
   * What a check of a tenant's chain found.
   *
   * @param eventCount how many events there are
   * @param headHash the hash of the last event, 32 bytes; empty before the first. Keep a copy
   *     elsewhere to see a chain that was cut or rewritten as a whole
   * @param firstBrokenSequence the first event that is wrong or missing; empty when all is sound
   */
  record Verification(
      long eventCount, Optional<byte[]> headHash, OptionalLong firstBrokenSequence) {

    /** Says whether every hash is right and no event is missing. */
    public boolean intact() {
      return firstBrokenSequence.isEmpty();
    }
  }

  /**
   * Appends an event to its tenant's chain, to be committed with what it records. Do it last in the
   * transaction: everything else that is recorded for the tenant waits from here to the commit, and
   * whoever then asked for another lock could wait for each other.
   *
   * @return the event's sequence
   */
  long append(Transaction transaction, AuditEntry entry);

  /**
   * Returns a page of a tenant's events, newest first. The position's id is the sequence, which
   * alone decides the order.
   *
   * @param sandboxId only of this sandbox; empty for all
   */
  Page<AuditEvent> list(TenantId tenantId, Optional<SandboxId> sandboxId, Page.Request page);

  /** Recomputes a tenant's chain. */
  Verification verify(TenantId tenantId);
}
