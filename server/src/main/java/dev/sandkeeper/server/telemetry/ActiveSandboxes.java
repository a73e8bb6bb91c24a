package dev.sandkeeper.server.telemetry;

/**
 * How many sandboxes there are of one kind.
 *
 * @param tenant whose they are
 * @param tier what is billed for them
 * @param engine what runs them
 * @param state the state they are in
 * @param count how many, not negative
 */
public record ActiveSandboxes(
    String tenant, String tier, String engine, String state, long count) {}
