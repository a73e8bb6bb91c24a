package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.RECONCILIATION;
import static dev.sandkeeper.jooq.Tables.RECONCILIATION_CLAIM;
import static dev.sandkeeper.jooq.Tables.SANDBOX;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.Reconciliation;
import dev.sandkeeper.server.ledger.ReconciliationRepository;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Record;
import org.jooq.impl.DSL;

/** What was compared, and is to be, in {@code reconciliation}. */
final class JooqReconciliationRepository implements ReconciliationRepository {
  private final DSLContext context;

  JooqReconciliationRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public List<Claimed> claim(Transaction transaction, Due due, Instant now, Instant until) {
    return JooqTransaction.contextOf(transaction)
        .selectFrom(
            RECONCILIATION_CLAIM(
                due.engine(), due.endedAfter(), due.endedUntil(), now, until, due.max()))
        .fetch(row ->
            new Claimed(
                new SandboxId(row.getSandboxId()),
                new TenantId(row.getTenantId()),
                Optional.ofNullable(row.getRemoteId()),
                Duration.ofMillis(row.getBilledMs()),
                row.getEndTime()));
  }

  @Override
  public boolean complete(Transaction transaction, Reconciliation reconciliation) {
    Optional<Reconciliation.Reported> reported = reconciliation.reported();
    return JooqTransaction.contextOf(transaction)
            .update(RECONCILIATION)
            .set(RECONCILIATION.NEXT_TIME, DSL.castNull(RECONCILIATION.NEXT_TIME))
            .set(RECONCILIATION.CHECK_TIME, reconciliation.checkTime())
            .set(RECONCILIATION.BILLED_MS, reconciliation.billed().toMillis())
            .set(RECONCILIATION.TOLERANCE_MS, reconciliation.tolerance().toMillis())
            .set(
                RECONCILIATION.REPORTED_MS,
                reported.map(found -> found.ran().toMillis()).orElse(null))
            .set(
                RECONCILIATION.REPORTED_START_TIME,
                reported.map(Reconciliation.Reported::startTime).orElse(null))
            .set(
                RECONCILIATION.REPORTED_END_TIME,
                reported.map(Reconciliation.Reported::endTime).orElse(null))
            .where(RECONCILIATION.SANDBOX_ID.eq(reconciliation.sandboxId().value()))
            .and(RECONCILIATION.CHECK_TIME.isNull())
            .execute()
        == 1;
  }

  @Override
  public Page<Reconciliation> list(
      Optional<String> engine, boolean driftedOnly, Page.Request page) {
    List<Condition> conditions = new ArrayList<>();
    conditions.add(
        driftedOnly ? RECONCILIATION.DRIFTED.isTrue() : RECONCILIATION.CHECK_TIME.isNotNull());
    engine.map(RECONCILIATION.ENGINE::eq).ifPresent(conditions::add);
    page.after()
        .map(after ->
            DSL.row(RECONCILIATION.CHECK_TIME, RECONCILIATION.SANDBOX_ID)
                .lt(after.time(), after.id()))
        .ifPresent(conditions::add);
    List<Reconciliation> rows =
        context
            .select(
                RECONCILIATION.SANDBOX_ID,
                RECONCILIATION.TENANT_ID,
                RECONCILIATION.ENGINE,
                SANDBOX.REMOTE_ID,
                RECONCILIATION.BILLED_MS,
                RECONCILIATION.REPORTED_MS,
                RECONCILIATION.REPORTED_START_TIME,
                RECONCILIATION.REPORTED_END_TIME,
                RECONCILIATION.TOLERANCE_MS,
                RECONCILIATION.CHECK_TIME)
            .from(RECONCILIATION)
            .join(SANDBOX)
            .on(SANDBOX.SANDBOX_ID.eq(RECONCILIATION.SANDBOX_ID))
            .where(conditions)
            .orderBy(RECONCILIATION.CHECK_TIME.desc(), RECONCILIATION.SANDBOX_ID.desc())
            .limit(page.size() + 1)
            .fetch(JooqReconciliationRepository::toReconciliation);
    return Pages.of(
        rows, page.size(), last -> new Page.Position(last.checkTime(), last.sandboxId().value()));
  }

  private static Reconciliation toReconciliation(Record row) {
    return new Reconciliation(
        new SandboxId(row.get(RECONCILIATION.SANDBOX_ID)),
        new TenantId(row.get(RECONCILIATION.TENANT_ID)),
        row.get(RECONCILIATION.ENGINE),
        Optional.ofNullable(row.get(SANDBOX.REMOTE_ID)),
        Duration.ofMillis(row.get(RECONCILIATION.BILLED_MS)),
        Optional.ofNullable(row.get(RECONCILIATION.REPORTED_MS))
            .map(millis ->
                new Reconciliation.Reported(
                    Duration.ofMillis(millis),
                    row.get(RECONCILIATION.REPORTED_START_TIME),
                    row.get(RECONCILIATION.REPORTED_END_TIME))),
        Duration.ofMillis(row.get(RECONCILIATION.TOLERANCE_MS)),
        row.get(RECONCILIATION.CHECK_TIME));
  }
}
