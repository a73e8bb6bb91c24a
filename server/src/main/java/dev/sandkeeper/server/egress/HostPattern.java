package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.net.HostName;

/**
 * Which hosts a rule is about: one by its name, or all below a name.
 *
 * @param name the host, or what those below it end with
 * @param wildcard whether it is about those below, however deep, and not about the name itself
 */
public record HostPattern(HostName name, boolean wildcard) {
  private static final String WILDCARD = "*.";

  /**
   * Reads a pattern such as {@code example.com} or {@code *.example.com}.
   *
   * @throws IllegalArgumentException for anything else, an address among it
   */
  public static HostPattern of(String text) {
    boolean wildcard = text.startsWith(WILDCARD);
    return new HostPattern(
        HostName.of(wildcard ? text.substring(WILDCARD.length()) : text), wildcard);
  }

  /** Says whether a host is meant. */
  boolean matches(HostName host) {
    return wildcard ? isBelow(host) : host.equals(name);
  }

  /** Says whether all that another pattern means is meant by this one. */
  boolean covers(HostPattern other) {
    return other.wildcard
        ? wildcard && (other.name.equals(name) || isBelow(other.name))
        : matches(other.name);
  }

  private boolean isBelow(HostName host) {
    return host.value().endsWith("." + name.value());
  }

  @Override
  public String toString() {
    return wildcard ? WILDCARD + name : name.value();
  }
}
