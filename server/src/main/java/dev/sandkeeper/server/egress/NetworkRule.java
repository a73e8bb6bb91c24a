package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.net.HostName;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * Hosts that may be connected to.
 *
 * @param host which hosts
 * @param ports their ports, 1 to 65535, ascending and each once, at most {@value #MAX_PORTS}
 */
public record NetworkRule(HostPattern host, List<Integer> ports) {
  /** The most ports of one rule. */
  public static final int MAX_PORTS = 16;

  /** The port of TLS, which a rule is about that names none. */
  public static final int DEFAULT_PORT = 443;

  private static final int LAST_PORT = 65_535;

  /** Sorts the ports; none stand for {@value #DEFAULT_PORT}. */
  public NetworkRule {
    SortedSet<Integer> sorted = new TreeSet<>(ports.isEmpty() ? List.of(DEFAULT_PORT) : ports);
    if (sorted.size() > MAX_PORTS || sorted.first() < 1 || sorted.last() > LAST_PORT) {
      throw new IllegalArgumentException(
          "ports " + sorted + " (expected: at most " + MAX_PORTS + " of 1 to " + LAST_PORT + ")");
    }
    ports = List.copyOf(sorted);
  }

  /** Says whether that port of that host may be connected to. */
  boolean allows(HostName host, int port) {
    return ports.contains(port) && this.host.matches(host);
  }

  /** Says whether that port of all hosts of a pattern may be connected to. */
  boolean covers(HostPattern hosts, int port) {
    return ports.contains(port) && host.covers(hosts);
  }
}
