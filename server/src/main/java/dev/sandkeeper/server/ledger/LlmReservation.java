package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;

/**
 * What is to be set aside for a language model's work.
 *
 * @param tenantId who pays
 * @param requestKey the same request is granted once
 * @param attribution for whom, which says whose limits it is charged to
 * @param cost the most it may cost
 * @param timeToLive after which it is released if it was not settled, at least a millisecond
 */
public record LlmReservation(
    TenantId tenantId,
    RequestKey requestKey,
    Attribution attribution,
    LlmCost cost,
    Duration timeToLive) {}
