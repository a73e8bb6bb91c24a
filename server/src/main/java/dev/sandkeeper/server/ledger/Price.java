package dev.sandkeeper.server.ledger;

import java.time.Instant;
import java.util.Optional;

/**
 * A version of a tier's price. Never changed, but for its end when the next one is set.
 *
 * @param priceId made by the database
 * @param tier the tier
 * @param basis what the rates are multiplied with
 * @param rates the rates of running time
 * @param pausedRates the rates of paused time, none above that of running time
 * @param startTime in force from then on, inclusive
 * @param endTime in force until then, exclusive; empty while no later version is known
 */
public record Price(
    String priceId,
    String tier,
    PriceBasis basis,
    Rates rates,
    Rates pausedRates,
    Instant startTime,
    Optional<Instant> endTime) {}
