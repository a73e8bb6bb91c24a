package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.Settlement;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Writes the audit events of the sandboxes' life cycle. */
final class SandboxAudit {
  private final AuditLog auditLog;
  private final BillingClock clock;

  SandboxAudit(AuditLog auditLog, BillingClock clock) {
    this.auditLog = auditLog;
    this.clock = clock;
  }

  /** Records that a sandbox was created. */
  void created(Transaction transaction, Principal principal, Sandbox sandbox) {
    auditLog.append(transaction, create(sandbox).by(principal));
  }

  /** Records that a sandbox was refused or could not be started. */
  void notCreated(
      Transaction transaction, Principal principal, Sandbox sandbox, ErrorReason reason) {
    auditLog.append(transaction, create(sandbox).by(principal).withOutcome(reason.name()));
  }

  /** Records that a sandbox was ended, by a caller or by the server itself. */
  void terminated(
      Transaction transaction,
      Optional<Principal> principal,
      Sandbox sandbox,
      EndReason reason,
      Settlement settlement) {
    AuditEntry.Run figures =
        new AuditEntry.Run(
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            OptionalInt.empty(),
            Optional.of(settlement.lifetime()),
            settlement.cpuMicros(),
            settlement.peakMemoryBytes(),
            OptionalLong.of(settlement.cost().value()));
    AuditEntry entry =
        AuditEntry.of(sandbox.tenantId(), clock.now(), AuditOperation.TERMINATE)
            .on(sandbox.sandboxId(), sandbox.attribution())
            .withRun(figures)
            .withDetail(reason.name());
    auditLog.append(transaction, principal.map(entry::by).orElse(entry));
  }

  private AuditEntry create(Sandbox sandbox) {
    return AuditEntry.of(sandbox.tenantId(), clock.now(), AuditOperation.CREATE)
        .on(sandbox.sandboxId(), sandbox.attribution())
        .withDetail("template " + sandbox.template());
  }
}
