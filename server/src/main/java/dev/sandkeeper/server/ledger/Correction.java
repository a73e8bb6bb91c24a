package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.TenantId;

/**
 * What a cost record should have come to.
 *
 * @param tenantId whose record
 * @param requestKey makes it repeatable
 * @param costRecordId the record to correct
 * @param amount the difference, not zero; negative where the record was too much
 * @param reason why, in the operator's words
 */
public record Correction(
    TenantId tenantId, RequestKey requestKey, String costRecordId, NanoUsd amount, String reason) {}
