package dev.sandkeeper.server.secret;

/**
 * The value of a secret. Never printed.
 *
 * @param name the secret's
 * @param value the value itself
 */
public record SecretValue(String name, String value) {
  @Override
  public String toString() {
    return name;
  }
}
