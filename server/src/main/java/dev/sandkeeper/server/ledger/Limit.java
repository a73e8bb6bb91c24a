package dev.sandkeeper.server.ledger;

import java.time.Instant;

/**
 * A limit that is set.
 *
 * @param limitId made by the database
 * @param spec what it says
 * @param createTime when it was first set; billing clock
 */
public record Limit(String limitId, LimitSpec spec, Instant createTime) {}
