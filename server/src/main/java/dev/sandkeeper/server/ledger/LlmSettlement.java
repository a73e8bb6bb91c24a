package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.TenantId;
import java.util.Optional;

/**
 * How a hold of a language model's work is to end.
 *
 * @param tenantId whose it is
 * @param agentId only if it is this agent's; empty for any
 * @param holdId the hold
 * @param cost what was spent; empty to release it
 */
public record LlmSettlement(
    TenantId tenantId, Optional<String> agentId, String holdId, Optional<LlmCost> cost) {}
