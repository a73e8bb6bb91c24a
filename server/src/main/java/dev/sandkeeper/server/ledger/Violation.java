package dev.sandkeeper.server.ledger;

/**
 * A row that breaks an invariant of the ledger.
 *
 * @param invariant the invariant's number: 1 to 5 and 7 to 9
 * @param subject the row
 * @param detail what is wrong with it, for people
 */
public record Violation(int invariant, String subject, String detail) {}
