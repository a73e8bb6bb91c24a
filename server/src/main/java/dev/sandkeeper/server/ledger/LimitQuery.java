package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.TenantId;
import java.util.Optional;

/**
 * Which limits are asked for; what is empty does not restrict.
 *
 * @param tenantId whose
 * @param scope only of this scope
 * @param scopeId only of this organisation, user, conversation or agent
 */
public record LimitQuery(TenantId tenantId, Optional<LimitScope> scope, Optional<String> scopeId) {}
