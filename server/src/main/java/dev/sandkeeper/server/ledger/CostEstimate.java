package dev.sandkeeper.server.ledger;

/**
 * What a sandbox would cost that is created now.
 *
 * @param tier the tier it would be billed by
 * @param cost what its full allocation costs for all of its timeout, at the prices that are known;
 *     it never costs more, and less when it ends before or when less is measured
 * @param hold what is set aside when it is created: its first lease and the time to stop
 */
public record CostEstimate(String tier, NanoUsd cost, NanoUsd hold) {}
