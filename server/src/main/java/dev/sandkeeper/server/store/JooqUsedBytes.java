package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.SANDBOX;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.egress.UsedBytes;
import org.jooq.DSLContext;

/** The bytes that sandboxes have sent and received, in {@code sandbox}. */
final class JooqUsedBytes implements UsedBytes {
  private final DSLContext context;

  JooqUsedBytes(DSLContext context) {
    this.context = context;
  }

  @Override
  public long of(SandboxId sandboxId) {
    return context
        .select(SANDBOX.NETWORK_BYTES)
        .from(SANDBOX)
        .where(SANDBOX.SANDBOX_ID.eq(sandboxId.value()))
        .fetchSingle()
        .value1();
  }

  @Override
  public void add(Transaction transaction, SandboxId sandboxId, long bytes) {
    JooqTransaction.contextOf(transaction)
        .update(SANDBOX)
        .set(SANDBOX.NETWORK_BYTES, SANDBOX.NETWORK_BYTES.plus(bytes))
        .where(SANDBOX.SANDBOX_ID.eq(sandboxId.value()))
        .execute();
  }
}
