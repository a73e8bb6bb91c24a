package dev.sandkeeper.server.execution;

import java.util.OptionalLong;

/**
 * One case of a test.
 *
 * @param caseId the caller's id, unique in the list
 * @param program what is run; a process of its own
 * @param expectation what its standard output must be
 * @param memoryLimitBytes the most memory its largest process may have resident; empty for any
 */
public record TestCase(
    String caseId,
    ExecutionRequest program,
    Expectation expectation,
    OptionalLong memoryLimitBytes) {

  /** What a program's output must be. */
  public sealed interface Expectation {}

  /**
   * Known beforehand.
   *
   * @param stdout the bytes; not to be changed
   * @param trimmed whether white space at the ends of lines and empty lines at the end count not
   */
  public record Output(byte[] stdout, boolean trimmed) implements Expectation {}

  /**
   * Found right by another program.
   *
   * @param program the other one, which gets the output as its standard input
   */
  public record Check(ExecutionRequest program) implements Expectation {}
}
