package dev.sandkeeper.server.base;

import java.util.regex.Pattern;

/**
 * Names a context in its sandbox: an interpreter whose variables live on.
 *
 * @param value 1 to 63 characters of {@code [a-z0-9_-]}, the first a letter or digit; chosen by the
 *     caller or made by the server
 */
public record ContextId(String value) {
  private static final Pattern SHAPE = Pattern.compile("[a-z0-9][a-z0-9_-]{0,62}");

  /** Checks the shape. */
  public ContextId {
    if (!SHAPE.matcher(value).matches()) {
      throw new IllegalArgumentException(
          "context_id: " + value + " (expected: " + SHAPE.pattern() + ")");
    }
  }

  @Override
  public String toString() {
    return value;
  }
}
