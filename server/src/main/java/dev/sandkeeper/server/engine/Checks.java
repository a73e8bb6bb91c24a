package dev.sandkeeper.server.engine;

import java.time.Duration;
import java.util.Map;

/** Checks that the values of this package share. */
final class Checks {

  private Checks() {}

  static void positive(String name, long value) {
    if (value <= 0) {
      throw new IllegalArgumentException(name + ": " + value + " (expected: > 0)");
    }
  }

  static void positive(String name, Duration value) {
    if (!value.isPositive()) {
      throw new IllegalArgumentException(name + ": " + value + " (expected: > 0)");
    }
  }

  /** Checks what execve(2) could not carry, and copies. */
  static Map<String, String> environment(Map<String, String> environment) {
    environment.forEach((name, value) -> {
      if (name.isEmpty() || name.indexOf('=') >= 0 || name.indexOf('\0') >= 0) {
        throw new IllegalArgumentException(
            "environment name: " + name + " (expected: not empty, without '=' and NUL)");
      }
      noNul("environment value of " + name, value);
    });
    return Map.copyOf(environment);
  }

  static void noNul(String name, String value) {
    if (value.indexOf('\0') >= 0) {
      throw new IllegalArgumentException(name + " (expected: without NUL)");
    }
  }
}
