package dev.sandkeeper.server.base;

import java.util.regex.Pattern;

/**
 * Names a sandbox. It appears in host names, hence the narrow alphabet.
 *
 * @param value 20 lower-case letters and digits, made by the server
 */
public record SandboxId(String value) {
  private static final Pattern SHAPE = Pattern.compile("[a-z0-9]{20}");

  /** Checks the shape. */
  public SandboxId {
    if (!SHAPE.matcher(value).matches()) {
      throw new IllegalArgumentException("sandbox_id: " + value + " (expected: [a-z0-9]{20})");
    }
  }

  @Override
  public String toString() {
    return value;
  }
}
