package dev.sandkeeper.server.config;

/**
 * A value that is never printed.
 *
 * @param value the value itself, possibly empty
 */
public record Secret(String value) {
  /** Stands where the value would. */
  static final String HIDDEN = "(hidden)";

  @Override
  public String toString() {
    return HIDDEN;
  }
}
