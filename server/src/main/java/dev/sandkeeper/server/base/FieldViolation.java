package dev.sandkeeper.server.base;

/**
 * One wrong field of a request.
 *
 * @param field the path of the field as in the contract, such as {@code limits.memory_mib}
 * @param description the value and what was expected
 */
public record FieldViolation(String field, String description) {}
