package dev.sandkeeper.server.base;

import java.util.regex.Pattern;

/**
 * Names an execution: one command or one piece of code run in a sandbox.
 *
 * @param value 20 lower-case letters and digits, made by the server
 */
public record ExecutionId(String value) {
  private static final Pattern SHAPE = Pattern.compile("[a-z0-9]{20}");

  /** Checks the shape. */
  public ExecutionId {
    if (!SHAPE.matcher(value).matches()) {
      throw new IllegalArgumentException("execution_id: " + value + " (expected: [a-z0-9]{20})");
    }
  }

  @Override
  public String toString() {
    return value;
  }
}
