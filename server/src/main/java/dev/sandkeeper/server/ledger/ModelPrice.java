package dev.sandkeeper.server.ledger;

import java.math.BigDecimal;
import java.time.Instant;
import java.util.Optional;

/**
 * A version of what a model's tokens cost. Never changed, but for its end when the next one is set.
 * The rates are in USD per million tokens, 0 to 100,000, with at most 12 digits behind the point.
 *
 * @param modelPriceId made by the database; empty before
 * @param model the model
 * @param usdPerMillionInputTokens of input tokens that were not cached
 * @param usdPerMillionCachedInputTokens of input tokens read from a cache
 * @param usdPerMillionOutputTokens of output tokens
 * @param startTime in force from then on, inclusive
 * @param endTime in force until then, exclusive; empty while no later version is known
 */
public record ModelPrice(
    String modelPriceId,
    String model,
    BigDecimal usdPerMillionInputTokens,
    BigDecimal usdPerMillionCachedInputTokens,
    BigDecimal usdPerMillionOutputTokens,
    Instant startTime,
    Optional<Instant> endTime) {}
