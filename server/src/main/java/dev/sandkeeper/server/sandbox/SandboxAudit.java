package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.Settlement;
import java.util.List;
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

  /**
   * Records that a sandbox was created.
   *
   * @param asked the engines that were asked to run it, in order
   */
  void created(Transaction transaction, Principal principal, Sandbox sandbox, List<String> asked) {
    auditLog.append(transaction, create(sandbox, asked).by(principal));
  }

  /** Records that a sandbox was refused or could not be started, as {@link #created}. */
  void notCreated(
      Transaction transaction,
      Principal principal,
      Sandbox sandbox,
      List<String> asked,
      ErrorReason reason) {
    auditLog.append(transaction, create(sandbox, asked).by(principal).withOutcome(reason.name()));
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

  /** Records that a sandbox was not resumed, as a limit refused or its engine was full. */
  void notResumed(
      Transaction transaction, Principal principal, Sandbox sandbox, ErrorReason reason) {
    auditLog.append(
        transaction,
        entry(AuditOperation.RESUME, sandbox).by(principal).withOutcome(reason.name()));
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

  /** Records that a sandbox was not created, as a policy denies what it was for. */
  void denied(
      Transaction transaction, Principal principal, Sandbox sandbox, SandkeeperException denial) {
    auditLog.append(
        transaction,
        entry(AuditOperation.CREATE, sandbox)
            .by(principal)
            .withDetail(denial.context().get("field") + ": " + denial.context().get("rule"))
            .withOutcome(denial.reason().name()));
  }

  private AuditEntry create(Sandbox sandbox, List<String> asked) {
    String detail = "template " + sandbox.template();
    return entry(AuditOperation.CREATE, sandbox)
        .withDetail(
            asked.size() == 1
                ? detail
                : detail + ", failed over from " + String.join(" to ", asked));
  }

  private AuditEntry entry(AuditOperation operation, Sandbox sandbox) {
    return sandbox.audited(clock.now(), operation);
  }
}
