package dev.sandkeeper.server.secret;

import dev.sandkeeper.server.base.TenantId;
import java.time.Instant;

/**
 * A secret as it is listed.
 *
 * @param tenantId whose it is
 * @param name unique in the tenant
 * @param createTime when it was first set; billing clock
 * @param updateTime when it was last set; billing clock
 */
public record Secret(TenantId tenantId, String name, Instant createTime, Instant updateTime) {}
