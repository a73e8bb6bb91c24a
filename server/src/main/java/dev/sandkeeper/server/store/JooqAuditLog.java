package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.AUDIT_EVENT;
import static dev.sandkeeper.jooq.Tables.AUDIT_VERIFY;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.jooq.tables.records.AuditEventRecord;
import dev.sandkeeper.jooq.tables.records.AuditVerifyRecord;
import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditEvent;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.impl.DSL;

/** The chains in {@code audit_event}, which only the database's own function may add to. */
final class JooqAuditLog implements AuditLog {
  private final DSLContext context;

  JooqAuditLog(DSLContext context) {
    this.context = context;
  }

  @Override
  public long append(Transaction transaction, AuditEntry entry) {
    AuditEntry.Actor actor = entry.actor();
    AuditEntry.Subject subject = entry.subject();
    AuditEntry.Run run = entry.run();
    return Routines.auditAppend(
        JooqTransaction.contextOf(transaction).configuration(),
        entry.tenantId().value(),
        entry.time(),
        actor.keyId().orElse(null),
        actor.userId().orElse(null),
        actor.agentId().orElse(null),
        actor.remoteAddress().orElse(null),
        actor.userAgent().orElse(null),
        entry.operation().id(),
        subject.sandboxId().map(SandboxId::value).orElse(null),
        subject.executionId().map(ExecutionId::value).orElse(null),
        subject.conversationId().orElse(null),
        subject.path().orElse(null),
        subject.taskId().orElse(null),
        run.codeHash().orElse(null),
        run.stdoutHash().orElse(null),
        run.stderrHash().orElse(null),
        Columns.nullable(run.exitCode()),
        run.duration().map(Duration::toMillis).orElse(null),
        Columns.nullable(run.cpuMicros()),
        Columns.nullable(run.peakMemoryBytes()),
        Columns.nullable(run.costNanoUsd()),
        entry.outcome(),
        entry.detail().orElse(null));
  }

  @Override
  public Page<AuditEvent> list(
      TenantId tenantId, Optional<SandboxId> sandboxId, Page.Request page) {
    List<AuditEvent> rows =
        context
            .selectFrom(AUDIT_EVENT)
            .where(AUDIT_EVENT.TENANT_ID.eq(tenantId.value()))
            .and(
                sandboxId
                    .<Condition>map(id -> AUDIT_EVENT.SANDBOX_ID.eq(id.value()))
                    .orElse(DSL.noCondition()))
            .and(
                page.after()
                    .<Condition>map(after -> AUDIT_EVENT.SEQUENCE.lt(Long.valueOf(after.id())))
                    .orElse(DSL.noCondition()))
            .orderBy(AUDIT_EVENT.SEQUENCE.desc())
            .limit(page.size() + 1)
            .fetch(JooqAuditLog::toEvent);
    return Pages.of(
        rows,
        page.size(),
        last -> new Page.Position(last.entry().time(), Long.toString(last.sequence())));
  }

  @Override
  public Verification verify(TenantId tenantId) {
    AuditVerifyRecord found = context.selectFrom(AUDIT_VERIFY(tenantId.value())).fetchSingle();
    return new Verification(
        found.getEventCount(),
        Optional.ofNullable(found.getHeadHash()),
        Columns.optional(found.getFirstBrokenSequence()));
  }

  private static AuditEvent toEvent(AuditEventRecord row) {
    return new AuditEvent(
        row.getSequence(),
        row.getPreviousHash(),
        row.getHash(),
        new AuditEntry(
            new TenantId(row.getTenantId()),
            row.getEventTime(),
            AuditOperation.of(row.getOperation()),
            row.getOutcome(),
            new AuditEntry.Actor(
                Optional.ofNullable(row.getKeyId()),
                Optional.ofNullable(row.getUserId()),
                Optional.ofNullable(row.getAgentId()),
                Optional.ofNullable(row.getRemoteAddress()),
                Optional.ofNullable(row.getUserAgent())),
            new AuditEntry.Subject(
                Optional.ofNullable(row.getSandboxId()).map(SandboxId::new),
                Optional.ofNullable(row.getExecutionId()).map(ExecutionId::new),
                Optional.ofNullable(row.getConversationId()),
                Optional.ofNullable(row.getPath()),
                Optional.ofNullable(row.getTaskId())),
            new AuditEntry.Run(
                Optional.ofNullable(row.getCodeHash()),
                Optional.ofNullable(row.getStdoutHash()),
                Optional.ofNullable(row.getStderrHash()),
                Columns.optional(row.getExitCode()),
                Optional.ofNullable(row.getDurationMs()).map(Duration::ofMillis),
                Columns.optional(row.getCpuMicros()),
                Columns.optional(row.getPeakMemoryBytes()),
                Columns.optional(row.getCostNanoUsd())),
            Optional.ofNullable(row.getDetail())));
  }
}
