package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;

/**
 * Who connects.
 *
 * @param tenantId whose it is
 * @param sandboxId the sandbox
 * @param attribution for whom it runs
 */
public record EgressSource(TenantId tenantId, SandboxId sandboxId, Attribution attribution) {}
