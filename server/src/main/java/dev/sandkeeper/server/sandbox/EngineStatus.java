package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.engine.EngineHealth;
import java.util.OptionalInt;

/**
 * How an engine stands.
 *
 * @param name its name
 * @param isDefault whether it runs what names no engine
 * @param health how it is, as this server sees it
 * @param capacity how many sandboxes may run in it, of all servers together; empty for no bound
 * @param liveSandboxes how many there are that have not ended, of all servers together
 * @param failovers new sandboxes that left it for another engine, since this server started
 */
public record EngineStatus(
    String name,
    boolean isDefault,
    EngineHealth health,
    OptionalInt capacity,
    int liveSandboxes,
    long failovers) {}
