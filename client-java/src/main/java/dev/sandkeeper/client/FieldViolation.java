package dev.sandkeeper.client;

/**
 * A field of a request that the server did not accept.
 *
 * @param field the path of the field, such as {@code resources.cpu_cores}; empty for the message as
 *     a whole
 * @param description what is wrong with it
 */
public record FieldViolation(String field, String description) {}
