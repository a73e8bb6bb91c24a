package dev.sandkeeper.server.port;

import java.time.Instant;
import java.util.Optional;

/**
 * A way to a port for whoever has it.
 *
 * @param url the whole URL; empty when the server has no domain for ports
 * @param path the same below the server's own URL
 * @param expireTime when both stop working
 */
public record ExposedPort(Optional<String> url, String path, Instant expireTime) {
  @Override
  public String toString() {
    return "ExposedPort[expireTime=" + expireTime + "]";
  }
}
