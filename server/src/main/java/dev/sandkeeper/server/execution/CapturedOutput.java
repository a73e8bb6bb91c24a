package dev.sandkeeper.server.execution;

/**
 * The beginning of what a program wrote to one of its streams.
 *
 * @param data the first bytes; not to be changed
 * @param cut whether there was more
 */
public record CapturedOutput(byte[] data, boolean cut) {}
