package dev.sandkeeper.server.base;

import java.util.regex.Pattern;

/**
 * Names a tenant: whoever is billed, and whom no other tenant can see.
 *
 * @param value lower-case letters, digits and hyphens, 1 to 63 characters, chosen by the operator
 */
public record TenantId(String value) {
  private static final Pattern SHAPE = Pattern.compile("[a-z0-9][a-z0-9-]{0,62}");

  /** Checks the shape. */
  public TenantId {
    if (!SHAPE.matcher(value).matches()) {
      throw new IllegalArgumentException(
          "tenant_id: " + value + " (expected: [a-z0-9][a-z0-9-]{0,62})");
    }
  }

  @Override
  public String toString() {
    return value;
  }
}
