package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.TenantId;

/**
 * What the operator gives.
 *
 * @param tenantId to whom
 * @param requestKey makes it repeatable
 * @param attribution for whom within the tenant
 * @param spend what it is for
 * @param amount how much, above zero
 * @param reason why, in the operator's words
 */
public record Credit(
    TenantId tenantId,
    RequestKey requestKey,
    Attribution attribution,
    Spend spend,
    NanoUsd amount,
    String reason) {}
