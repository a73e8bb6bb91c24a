package dev.sandkeeper.server.engine;

/**
 * An error that code raised, as its interpreter tells it, each part cut to a bound of the engine's.
 *
 * @param name the type, for example {@code ZeroDivisionError}
 * @param value the message, may be empty
 * @param traceback the lines an interpreter would print, may be empty
 */
public record CodeError(String name, String value, String traceback) {}
