package dev.sandkeeper.server.telemetry;

/**
 * How an engine is, for the metrics.
 *
 * @param engine its name
 * @param healthy whether its last check proved that it can work
 * @param breaker the state of its circuit breaker: closed, open or half_open
 * @param starting how many sandboxes it is being asked to start
 */
public record EngineReading(String engine, boolean healthy, String breaker, int starting) {}
