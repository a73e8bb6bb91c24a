package dev.sandkeeper.server.ledger;

import java.util.OptionalInt;

/**
 * How many sandboxes may run in an engine at once, of all tenants and servers together; paused ones
 * do not count.
 *
 * @param engine its name
 * @param max how many; empty for no bound
 */
public record EngineCapacity(String engine, OptionalInt max) {}
