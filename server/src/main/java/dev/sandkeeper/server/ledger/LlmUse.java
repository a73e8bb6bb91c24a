package dev.sandkeeper.server.ledger;

import java.util.Optional;

/**
 * What a cost record of a language model's work is for.
 *
 * @param holdId the hold that it settled
 * @param model the model; empty when the caller did not say
 * @param usage the tokens it was computed from; empty when the caller gave the amount
 */
public record LlmUse(String holdId, Optional<String> model, Optional<LlmUsage> usage) {}
