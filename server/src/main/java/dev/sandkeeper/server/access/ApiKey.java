package dev.sandkeeper.server.access;

import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;

/**
 * An API key, without its secret.
 *
 * @param keyId its public name
 * @param tenantId the tenant it is bound to
 * @param name what it is for, possibly empty
 * @param scopes what it may do, at least one
 * @param agentId the one agent it is bound to; empty for all
 * @param createTime when it was made
 * @param expireTime when it stops working; empty for never
 * @param revokeTime when it was revoked; empty while it is not
 */
public record ApiKey(
    String keyId,
    TenantId tenantId,
    String name,
    Set<Scope> scopes,
    Optional<String> agentId,
    Instant createTime,
    Optional<Instant> expireTime,
    Optional<Instant> revokeTime) {

  /** Copies the scopes. */
  public ApiKey {
    scopes = Set.copyOf(scopes);
  }

  /** Says whether the key works at the given time. */
  boolean worksAt(Instant time) {
    return revokeTime.isEmpty() && expireTime.map(time::isBefore).orElse(true);
  }
}
