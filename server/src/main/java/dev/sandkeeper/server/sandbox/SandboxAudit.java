package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.Settlement;
import java.util.Optional;

/** Writes the audit events of the sandboxes' life cycle. */
public final class SandboxAudit {
  /** The outcome of what succeeded. */
  public static final String OK = "ok";

  private final AuditLog auditLog;
  private final BillingClock clock;

  /** Makes the writer. */
  public SandboxAudit(AuditLog auditLog, BillingClock clock) {
    this.auditLog = auditLog;
    this.clock = clock;
  }
}
