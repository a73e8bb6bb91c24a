package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.API_KEY;
import static dev.sandkeeper.jooq.Tables.TENANT;

import dev.sandkeeper.server.access.ApiKey;
import dev.sandkeeper.server.access.ApiKeyRepository;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.impl.DSL;

/** Tenants in {@code tenant}, keys in {@code api_key}. */
final class JooqApiKeyRepository implements ApiKeyRepository {
  private static final List<Field<?>> COLUMNS =
      List.of(
          API_KEY.KEY_ID,
          API_KEY.TENANT_ID,
          API_KEY.NAME,
          API_KEY.SCOPES,
          API_KEY.AGENT_ID,
          API_KEY.CREATE_TIME,
          API_KEY.EXPIRE_TIME,
          API_KEY.REVOKE_TIME);

  private final DSLContext context;

  JooqApiKeyRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public boolean insertTenant(Transaction transaction, TenantId tenantId, Instant createTime) {
    return JooqTransaction.contextOf(transaction)
            .insertInto(TENANT, TENANT.TENANT_ID, TENANT.CREATE_TIME)
            .values(tenantId.value(), createTime)
            .onConflictDoNothing()
            .execute()
        == 1;
  }

  @Override
  public boolean tenantExists(Transaction transaction, TenantId tenantId) {
    return JooqTransaction.contextOf(transaction)
        .fetchExists(TENANT, TENANT.TENANT_ID.eq(tenantId.value()));
  }

  @Override
  public void insert(Transaction transaction, ApiKey key, byte[] secretHash) {
    JooqTransaction.contextOf(transaction)
        .insertInto(API_KEY)
        .set(API_KEY.KEY_ID, key.keyId())
        .set(API_KEY.TENANT_ID, key.tenantId().value())
        .set(API_KEY.NAME, key.name())
        .set(API_KEY.SECRET_HASH, secretHash)
        .set(API_KEY.SCOPES, scopes(key.scopes()))
        .set(API_KEY.AGENT_ID, key.agentId().orElse(null))
        .set(API_KEY.CREATE_TIME, key.createTime())
        .set(API_KEY.EXPIRE_TIME, key.expireTime().orElse(null))
        .execute();
  }

  @Override
  public Optional<ApiKey> findBySecretHash(byte[] secretHash) {
    return context
        .select(COLUMNS)
        .from(API_KEY)
        .where(API_KEY.SECRET_HASH.eq(secretHash))
        .fetchOptional(JooqApiKeyRepository::toApiKey);
  }

  @Override
  public List<ApiKey> find(Set<String> keyIds) {
    return context
        .select(COLUMNS)
        .from(API_KEY)
        .where(API_KEY.KEY_ID.eq(DSL.any(keyIds.toArray(String[]::new))))
        .fetch(JooqApiKeyRepository::toApiKey);
  }

  @Override
  public List<ApiKey> list(TenantId tenantId) {
    return context
        .select(COLUMNS)
        .from(API_KEY)
        .where(API_KEY.TENANT_ID.eq(tenantId.value()))
        .orderBy(API_KEY.CREATE_TIME.desc(), API_KEY.KEY_ID)
        .fetch(JooqApiKeyRepository::toApiKey);
  }

  @Override
  public Optional<ApiKey> revoke(Transaction transaction, String keyId, Instant revokeTime) {
    return JooqTransaction.contextOf(transaction)
        .update(API_KEY)
        .set(API_KEY.REVOKE_TIME, DSL.coalesce(API_KEY.REVOKE_TIME, DSL.val(revokeTime)))
        .where(API_KEY.KEY_ID.eq(keyId))
        .returning(COLUMNS)
        .fetchOptional(JooqApiKeyRepository::toApiKey);
  }

  private static String[] scopes(Set<Scope> scopes) {
    return scopes.stream()
        .map(scope -> scope.name().toLowerCase(Locale.ROOT))
        .sorted()
        .toArray(String[]::new);
  }

  private static ApiKey toApiKey(Record row) {
    return new ApiKey(
        row.get(API_KEY.KEY_ID),
        new TenantId(row.get(API_KEY.TENANT_ID)),
        row.get(API_KEY.NAME),
        Arrays.stream(row.get(API_KEY.SCOPES))
            .map(scope -> Scope.valueOf(scope.toUpperCase(Locale.ROOT)))
            .collect(Collectors.toUnmodifiableSet()),
        Optional.ofNullable(row.get(API_KEY.AGENT_ID)),
        row.get(API_KEY.CREATE_TIME),
        Optional.ofNullable(row.get(API_KEY.EXPIRE_TIME)),
        Optional.ofNullable(row.get(API_KEY.REVOKE_TIME)));
  }
}
