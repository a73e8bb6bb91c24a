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

  /** Records that a sandbox was paused, by a caller or by the server itself. */
  void paused(Transaction transaction, Optional<Principal> principal, Sandbox sandbox) {
    AuditEntry entry = entry(AuditOperation.PAUSE, sandbox);
    auditLog.append(transaction, principal.map(entry::by).orElse(entry));
  }

  /** Records that a sandbox was resumed. */
  void resumed(Transaction transaction, Principal principal, Sandbox sandbox) {
    auditLog.append(transaction, entry(AuditOperation.RESUME, sandbox).by(principal));
  }

  /** Records that a sandbox was not resumed, as a limit refused. */
  void notResumed(Transaction transaction, Principal principal, Sandbox sandbox) {
    auditLog.append(
        transaction,
        entry(AuditOperation.RESUME, sandbox)
            .by(principal)
            .withOutcome(ErrorReason.QUOTA_EXCEEDED.name()));
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
        entry(AuditOperation.TERMINATE, sandbox).withRun(figures).withDetail(reason.name());
    auditLog.append(transaction, principal.map(entry::by).orElse(entry));
  }

  private AuditEntry create(Sandbox sandbox) {
    return entry(AuditOperation.CREATE, sandbox).withDetail("template " + sandbox.template());
  }

  private AuditEntry entry(AuditOperation operation, Sandbox sandbox) {
    return AuditEntry.of(sandbox.tenantId(), clock.now(), operation)
        .on(sandbox.sandboxId(), sandbox.attribution());
  }
}
