package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.SANDBOX_SECRET;
import static dev.sandkeeper.jooq.Tables.SECRET;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.secret.SealedSecret;
import dev.sandkeeper.server.secret.Secret;
import dev.sandkeeper.server.secret.SecretRepository;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.exception.DataAccessException;

/** Secrets in {@code secret}, and those that sandboxes were given in {@code sandbox_secret}. */
final class JooqSecretRepository implements SecretRepository {
  /** All but the value. */
  private static final List<Field<?>> COLUMNS =
      List.of(SECRET.TENANT_ID, SECRET.NAME, SECRET.CREATE_TIME, SECRET.UPDATE_TIME);

  private final DSLContext context;

  JooqSecretRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public int count(Transaction transaction, TenantId tenantId) {
    return JooqTransaction.lockedContextOf(transaction, "sandkeeper.secret." + tenantId.value())
        .fetchCount(SECRET, SECRET.TENANT_ID.eq(tenantId.value()));
  }

  @Override
  public Optional<Secret> update(
      Transaction transaction, TenantId tenantId, String name, byte[] sealed, Instant now) {
    return JooqTransaction.contextOf(transaction)
        .update(SECRET)
        .set(SECRET.SEALED, sealed)
        .set(SECRET.UPDATE_TIME, now)
        .where(is(tenantId, name))
        .returning(COLUMNS)
        .fetchOptional(JooqSecretRepository::toSecret);
  }

  @Override
  public boolean insert(Transaction transaction, Secret secret, byte[] sealed) {
    try {
      JooqTransaction.contextOf(transaction)
          .insertInto(SECRET)
          .set(SECRET.TENANT_ID, secret.tenantId().value())
          .set(SECRET.NAME, secret.name())
          .set(SECRET.SEALED, sealed)
          .set(SECRET.CREATE_TIME, secret.createTime())
          .set(SECRET.UPDATE_TIME, secret.updateTime())
          .onConflict(SECRET.TENANT_ID, SECRET.NAME)
          .doUpdate()
          .set(SECRET.SEALED, sealed)
          .set(SECRET.UPDATE_TIME, secret.updateTime())
          .execute();
      return true;
    } catch (DataAccessException e) {
      if (StoreErrors.constraint(e).equals(Optional.of("secret_tenant_fk"))) {
        return false;
      }
      throw e;
    }
  }

  @Override
  public boolean delete(Transaction transaction, TenantId tenantId, String name) {
    return JooqTransaction.contextOf(transaction)
            .deleteFrom(SECRET)
            .where(is(tenantId, name))
            .execute()
        == 1;
  }

  @Override
  public List<Secret> list(TenantId tenantId) {
    return context
        .select(COLUMNS)
        .from(SECRET)
        .where(SECRET.TENANT_ID.eq(tenantId.value()))
        .orderBy(SECRET.NAME)
        .fetch(JooqSecretRepository::toSecret);
  }

  @Override
  public Optional<byte[]> find(TenantId tenantId, String name) {
    return context
        .select(SECRET.SEALED)
        .from(SECRET)
        .where(is(tenantId, name))
        .fetchOptional(SECRET.SEALED);
  }

  @Override
  public void give(Transaction transaction, SandboxId sandboxId, SealedSecret secret) {
    JooqTransaction.contextOf(transaction)
        .insertInto(SANDBOX_SECRET)
        .set(SANDBOX_SECRET.SANDBOX_ID, sandboxId.value())
        .set(SANDBOX_SECRET.FINGERPRINT, secret.fingerprint())
        .set(SANDBOX_SECRET.NAME, secret.name())
        .set(SANDBOX_SECRET.SEALED, secret.sealed())
        .onConflictDoNothing()
        .execute();
  }

  @Override
  public List<SealedSecret> given(SandboxId sandboxId) {
    return context
        .selectFrom(SANDBOX_SECRET)
        .where(SANDBOX_SECRET.SANDBOX_ID.eq(sandboxId.value()))
        .fetch(row -> new SealedSecret(row.getName(), row.getFingerprint(), row.getSealed()));
  }

  @Override
  public void forget(Transaction transaction, SandboxId sandboxId) {
    JooqTransaction.contextOf(transaction)
        .deleteFrom(SANDBOX_SECRET)
        .where(SANDBOX_SECRET.SANDBOX_ID.eq(sandboxId.value()))
        .execute();
  }

  private static Condition is(TenantId tenantId, String name) {
    return SECRET.TENANT_ID.eq(tenantId.value()).and(SECRET.NAME.eq(name));
  }

  private static Secret toSecret(Record row) {
    return new Secret(
        new TenantId(row.get(SECRET.TENANT_ID)),
        row.get(SECRET.NAME),
        row.get(SECRET.CREATE_TIME),
        row.get(SECRET.UPDATE_TIME));
  }
}
