package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * The bill for one span of a sandbox's life, or an execution's share of it. Never changed.
 *
 * @param costRecordId made by the database
 * @param tenantId who is billed
 * @param sandboxId the sandbox
 * @param executionId whose share it is; empty for the time in which none ran
 * @param attribution for whom it ran
 * @param fromTime the start of the span, inclusive
 * @param toTime the end of the span, exclusive
 * @param priceId the price it was computed with
 * @param tier the tier
 * @param basis what the rates were multiplied with
 * @param estimated whether nobody saw the end, so that it was taken from what was paid
 * @param share the part of the span that is this record's, in microseconds' resolution
 * @param amount the amount
 */
public record CostRecord(
    String costRecordId,
    TenantId tenantId,
    SandboxId sandboxId,
    Optional<ExecutionId> executionId,
    Attribution attribution,
    Instant fromTime,
    Instant toTime,
    String priceId,
    String tier,
    PriceBasis basis,
    boolean estimated,
    Duration share,
    NanoUsd amount) {}
