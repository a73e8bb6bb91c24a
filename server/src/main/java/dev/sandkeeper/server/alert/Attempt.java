package dev.sandkeeper.server.alert;

/** How an attempt to bring an alert to its receiver came out. */
public sealed interface Attempt {
  /** The receiver took it. */
  record Taken() implements Attempt {}

  /** The receiver wants no more. */
  record Gone() implements Attempt {}

  /**
   * Anything else; another attempt may succeed.
   *
   * @param error one line for people
   */
  record Failed(String error) implements Attempt {}
}
