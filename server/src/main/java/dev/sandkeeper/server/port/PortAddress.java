package dev.sandkeeper.server.port;

import dev.sandkeeper.server.base.SandboxId;
import java.util.regex.Pattern;

/**
 * A port of a sandbox.
 *
 * @param sandboxId the sandbox
 * @param port 1 to 65535
 */
public record PortAddress(SandboxId sandboxId, int port) {
  private static final int MAX_PORT = 65_535;
  private static final Pattern DIGITS = Pattern.compile("[1-9][0-9]{0,4}");

  /** Checks the port. */
  public PortAddress {
    if (port < 1 || port > MAX_PORT) {
      throw new IllegalArgumentException("port: " + port + " (expected: 1 to " + MAX_PORT + ")");
    }
  }

  /**
   * Returns the port that is named in two texts.
   *
   * @throws IllegalArgumentException when they name none
   */
  public static PortAddress of(String sandboxId, String port) {
    if (!DIGITS.matcher(port).matches()) {
      throw new IllegalArgumentException("port: " + port + " (expected: 1 to " + MAX_PORT + ")");
    }
    return new PortAddress(new SandboxId(sandboxId), Integer.parseInt(port));
  }
}
