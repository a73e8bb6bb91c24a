package dev.sandkeeper.server.access;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Keeps tenants and API keys. */
public interface ApiKeyRepository {
  /** Adds a tenant unless it is there; says whether it was added. */
  boolean insertTenant(Transaction transaction, TenantId tenantId, Instant createTime);

  /** Says whether the tenant is there. */
  boolean tenantExists(Transaction transaction, TenantId tenantId);

  /**
   * Adds a key of a tenant that exists.
   *
   * @param secretHash SHA-256 of the secret, 32 bytes
   */
  void insert(Transaction transaction, ApiKey key, byte[] secretHash);

  /** Returns the key whose secret has the given SHA-256, working or not. */
  Optional<ApiKey> findBySecretHash(byte[] secretHash);

  /** Returns those of the keys that are there, working or not. */
  List<ApiKey> find(Set<String> keyIds);

  /** Returns the keys of a tenant, newest first. */
  List<ApiKey> list(TenantId tenantId);

  /**
   * Marks a key as revoked unless it is; the time of the first revocation stays.
   *
   * @return the key as it is now; empty when there is none of that id
   */
  Optional<ApiKey> revoke(Transaction transaction, String keyId, Instant revokeTime);
}
