package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.net.HostName;
import java.util.List;
import java.util.Optional;

/**
 * What a sandbox may connect to. Addresses of this machine and of private networks are refused
 * whatever it says.
 *
 * @param rules the hosts, at most {@value #MAX_RULES}; none for no way out at all
 * @param maxBytes the most bytes in both directions together, in all the sandbox's life, 1 to
 *     {@value #MOST_BYTES}
 * @param maxConnections the most connections at once, 1 to {@value #MOST_CONNECTIONS}
 */
public record NetworkPolicy(List<NetworkRule> rules, long maxBytes, int maxConnections) {
  /** The most rules. */
  public static final int MAX_RULES = 100;

  /** What may be said of bytes at most, 1 TiB. */
  public static final long MOST_BYTES = 1L << 40;

  /** What may be said of connections at most. */
  public static final int MOST_CONNECTIONS = 256;

  /** The most bytes where nothing is said, 1 GiB. */
  public static final long DEFAULT_BYTES = 1L << 30;

  /** The most connections at once where nothing is said. */
  public static final int DEFAULT_CONNECTIONS = 64;

  /** No way out. */
  public static final NetworkPolicy NONE =
      new NetworkPolicy(List.of(), DEFAULT_BYTES, DEFAULT_CONNECTIONS);

  /** Checks the bounds and copies the rules. */
  public NetworkPolicy {
    rules = List.copyOf(rules);
    if (rules.size() > MAX_RULES) {
      throw new IllegalArgumentException(
          rules.size() + " rules (expected: at most " + MAX_RULES + ")");
    }
    if (maxBytes < 1 || maxBytes > MOST_BYTES) {
      throw new IllegalArgumentException(
          "maxBytes: " + maxBytes + " (expected: 1 to " + MOST_BYTES + ")");
    }
    if (maxConnections < 1 || maxConnections > MOST_CONNECTIONS) {
      throw new IllegalArgumentException(
          "maxConnections: " + maxConnections + " (expected: 1 to " + MOST_CONNECTIONS + ")");
    }
  }

  /** Says whether there is no way out at all. */
  public boolean isNone() {
    return rules.isEmpty();
  }

  /** Says whether that port of that host may be connected to, as far as names tell. */
  public boolean allows(HostName host, int port) {
    return rules.stream().anyMatch(rule -> rule.allows(host, port));
  }

  /** Returns what of this policy another one does not allow, for people; empty for nothing. */
  public Optional<String> exceeds(NetworkPolicy most) {
    for (NetworkRule rule : rules) {
      for (int port : rule.ports()) {
        if (most.rules.stream().noneMatch(allowed -> allowed.covers(rule.host(), port))) {
          return Optional.of(rule.host() + " port " + port);
        }
      }
    }
    if (isNone()) {
      return Optional.empty();
    }
    if (maxBytes > most.maxBytes) {
      return Optional.of("max_bytes " + maxBytes + ", more than " + most.maxBytes);
    }
    if (maxConnections > most.maxConnections) {
      return Optional.of(
          "max_connections " + maxConnections + ", more than " + most.maxConnections);
    }
    return Optional.empty();
  }
}
