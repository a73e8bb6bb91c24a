package dev.sandkeeper.server.policy;

/**
 * Why something may not be run.
 *
 * @param field the rule's place in its policy, such as {@code deny[2]}
 * @param rule the rule
 * @param subject the program or language that it is about
 */
public record Denial(String field, String rule, String subject) {
  /** Returns the same, its place told from further out. */
  Denial within(String path) {
    return new Denial(path + "." + field, rule, subject);
  }
}
