package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.TenantId;

/**
 * How much money a tenant may spend in a period. Hard: nothing is admitted past it.
 *
 * @param limitId made by the database
 * @param tenantId whose spending it limits
 * @param period the period
 * @param amount the most in each period
 */
public record Limit(String limitId, TenantId tenantId, LimitPeriod period, NanoUsd amount) {}
