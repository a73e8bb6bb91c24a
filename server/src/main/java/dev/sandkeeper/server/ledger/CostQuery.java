package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Instant;
import java.util.Optional;

/**
 * Which cost records are asked for; all that is empty does not restrict.
 *
 * @param tenantId whose
 * @param agentId only of this agent's sandboxes
 * @param sandboxId only of this sandbox
 * @param conversationId only of this conversation
 * @param executionId only shares of this execution
 * @param fromTime only spans that start then or later
 * @param toTime only spans that start earlier
 */
public record CostQuery(
    TenantId tenantId,
    Optional<String> agentId,
    Optional<SandboxId> sandboxId,
    Optional<String> conversationId,
    Optional<ExecutionId> executionId,
    Optional<Instant> fromTime,
    Optional<Instant> toTime) {

  /** Returns the query for all of a tenant's records. */
  public static CostQuery of(TenantId tenantId) {
    return new CostQuery(
        tenantId,
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  /** Returns the same query for one sandbox. */
  public CostQuery withSandboxId(SandboxId sandbox) {
    return new CostQuery(
        tenantId, agentId, Optional.of(sandbox), conversationId, executionId, fromTime, toTime);
  }
}
