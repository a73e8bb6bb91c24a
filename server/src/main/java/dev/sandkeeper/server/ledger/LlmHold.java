package dev.sandkeeper.server.ledger;

import java.time.Instant;
import java.util.Optional;

/**
 * Money set aside for a language model's work.
 *
 * @param holdId made by the database
 * @param state OPEN, then SETTLED or RELEASED
 * @param amount what was set aside
 * @param settled what was booked; empty unless it is settled
 * @param untilTime when it is released by itself if it is not settled
 */
public record LlmHold(
    String holdId, HoldState state, NanoUsd amount, Optional<NanoUsd> settled, Instant untilTime) {}
