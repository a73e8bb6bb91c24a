package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.sandbox.Sandbox;
import java.util.HexFormat;
import java.util.List;

/** Writes the audit events of the use of files. */
public final class FileAudit {
  private final Transactions transactions;
  private final AuditLog auditLog;
  private final BillingClock clock;

  /** Makes the writer. */
  public FileAudit(Transactions transactions, AuditLog auditLog, BillingClock clock) {
    this.transactions = transactions;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  void read(Principal principal, Sandbox sandbox, String path) {
    append(principal, sandbox, AuditOperation.FILE_READ, "read " + path);
  }

  void listed(Principal principal, Sandbox sandbox, String path) {
    append(principal, sandbox, AuditOperation.FILE_READ, "looked at " + path);
  }

  void written(Principal principal, Sandbox sandbox, String path, byte[] sha256) {
    append(
        principal,
        sandbox,
        AuditOperation.FILE_WRITE,
        "wrote " + path + " with SHA-256 " + HexFormat.of().formatHex(sha256));
  }

  void collected(Principal principal, Sandbox sandbox, String path, List<String> patterns) {
    append(principal, sandbox, AuditOperation.FILE_READ, "collected " + patterns + " of " + path);
  }

  void watched(Principal principal, Sandbox sandbox, String path) {
    append(principal, sandbox, AuditOperation.FILE_READ, "watched " + path);
  }

  void made(Principal principal, Sandbox sandbox, String path) {
    append(principal, sandbox, AuditOperation.FILE_WRITE, "made the directory " + path);
  }

  void moved(Principal principal, Sandbox sandbox, String path, String toPath) {
    append(principal, sandbox, AuditOperation.FILE_WRITE, "moved " + path + " to " + toPath);
  }

  void removed(Principal principal, Sandbox sandbox, String path) {
    append(principal, sandbox, AuditOperation.FILE_WRITE, "removed " + path);
  }

  private void append(
      Principal principal, Sandbox sandbox, AuditOperation operation, String detail) {
    AuditEntry entry = sandbox.audited(clock.now(), operation).by(principal).withDetail(detail);
    transactions.run(transaction -> auditLog.append(transaction, entry));
  }
}
