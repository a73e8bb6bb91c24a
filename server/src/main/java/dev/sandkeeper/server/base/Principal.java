package dev.sandkeeper.server.base;

import java.util.Optional;
import java.util.Set;

/**
 * Who calls: what the credentials say, and where the call came from.
 *
 * @param tenantId the tenant the credentials are bound to
 * @param keyId the API key
 * @param scopes what they allow
 * @param agentId the one agent whose sandboxes they reach; empty for all of the tenant's
 * @param origin where the call came from
 */
public record Principal(
    TenantId tenantId, String keyId, Set<Scope> scopes, Optional<String> agentId, Origin origin) {

  /** Copies the scopes. */
  public Principal {
    scopes = Set.copyOf(scopes);
  }

  /**
   * Where a call came from, for the audit.
   *
   * @param remoteAddress the peer's address; empty when it is not known
   * @param userAgent what the client calls itself; empty when it does not say
   */
  public record Origin(String remoteAddress, String userAgent) {}

  /** Says whether the scope is allowed. ADMIN allows all, RUN allows READ. */
  public boolean allows(Scope scope) {
    return scopes.contains(scope)
        || scopes.contains(Scope.ADMIN)
        || (scope == Scope.READ && scopes.contains(Scope.RUN));
  }

  /**
   * Refuses what the scopes do not allow.
   *
   * @throws SandkeeperException with {@link ErrorReason#SCOPE_MISSING}
   */
  public void require(Scope scope) {
    if (!allows(scope)) {
      throw SandkeeperException.of(
              ErrorReason.SCOPE_MISSING, "The API key lacks the scope that the call needs.")
          .with("scope", scope);
    }
  }

  /**
   * Returns the tenant a call is about: the one asked for, or the caller's own.
   *
   * @param asked the tenant named in the request; empty for the caller's own
   * @throws SandkeeperException with {@link ErrorReason#SCOPE_MISSING} when it is another tenant's
   *     and the caller is no admin
   */
  public TenantId tenantOr(Optional<TenantId> asked) {
    if (asked.isPresent() && !asked.get().equals(tenantId)) {
      require(Scope.ADMIN);
      return asked.get();
    }
    return tenantId;
  }

  /**
   * Returns for whom something the caller starts runs: as asked, and for the key's own agent when
   * it is bound to one.
   *
   * @throws SandkeeperException with {@link ErrorReason#INVALID_FIELD} for another agent
   */
  public Attribution attribute(Attribution asked) {
    if (agentId.isEmpty()) {
      return asked;
    }
    if (asked.agentId().isPresent() && !asked.agentId().equals(agentId)) {
      throw SandkeeperException.invalidField(
          "attribution.agent_id",
          asked.agentId().get() + " (expected: absent, or the agent that the key is bound to)");
    }
    return asked.withAgentId(agentId);
  }
}
