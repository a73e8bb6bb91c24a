package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * The bill for one span of a sandbox's life, an execution's share of it, or a language model's
 * work; a correction of one, or a credit. Never changed.
 *
 * @param costRecordId made by the database
 * @param kind what it is; of a correction or credit, what is about quantities and prices is empty
 * @param spend what it was for
 * @param tenantId who is billed
 * @param sandboxId the sandbox; empty for a language model's work
 * @param executionId whose share it is; empty for the time in which none ran
 * @param attribution for whom it ran
 * @param fromTime the start of the span, inclusive; when a language model's work was reserved
 * @param toTime the end of the span, exclusive; when it was settled
 * @param priceId the price it was computed with; empty where the caller gave the amount
 * @param tier the tier; empty for a language model's work
 * @param basis what the rates were multiplied with; empty for a language model's work
 * @param estimated whether nobody saw the end, so that it was taken from what was paid
 * @param paused whether the sandbox was paused in the span, all of it
 * @param share the part of the span that is this record's, in microseconds' resolution
 * @param amount the amount; negative where less is to be paid
 * @param llm what a language model did; empty for a sandbox
 * @param correctedId the record that a correction corrects; empty for others
 * @param reason why there is a correction or credit; empty for usage
 */
public record CostRecord(
    String costRecordId,
    CostKind kind,
    Spend spend,
    TenantId tenantId,
    Optional<SandboxId> sandboxId,
    Optional<ExecutionId> executionId,
    Attribution attribution,
    Instant fromTime,
    Instant toTime,
    Optional<String> priceId,
    Optional<String> tier,
    Optional<PriceBasis> basis,
    boolean estimated,
    boolean paused,
    Duration share,
    NanoUsd amount,
    Optional<LlmUse> llm,
    Optional<String> correctedId,
    Optional<String> reason) {}
