package dev.sandkeeper.server.http;

import dev.sandkeeper.server.port.PortAddress;
import dev.sandkeeper.server.port.PortUrl;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a request for a port means: by host, {@code PORT-SANDBOX.domain}, or by path, {@code
 * /v1/sandboxes/SANDBOX/ports/PORT/}. The path is taken as it came, for the program behind has its
 * own ideas of slashes and dots.
 *
 * @param address the port; empty when there can be none of that name
 * @param prefix what of the path names the port and is not for the program; empty by host
 * @param path what is for the program, with the query; begins with a slash, or is empty or a query
 *     where the slash behind the port is missing
 */
record PortTarget(Optional<PortAddress> address, String prefix, String path) {
  private static final Pattern IN_PATH =
      Pattern.compile("((?:/+api)?/+v1/+sandboxes/+([^/?]+)/+ports/+([^/?]+))(.*)", Pattern.DOTALL);

  /** Returns the target of a request by host; empty when the host is not one of ports. */
  static Optional<PortTarget> byHost(PortUrl url, String authority, String rawPath) {
    return url.find(authority).map(address -> new PortTarget(Optional.of(address), "", rawPath));
  }

  /** Returns the target of a request by path; empty when the path is not one of ports. */
  static Optional<PortTarget> byPath(String rawPath) {
    Matcher matcher = IN_PATH.matcher(rawPath);
    if (!matcher.matches()) {
      return Optional.empty();
    }
    return Optional.of(
        new PortTarget(
            address(matcher.group(2), matcher.group(3)),
            matcher.group(1).replaceAll("/+", "/"),
            matcher.group(4)));
  }

  private static Optional<PortAddress> address(String sandboxId, String port) {
    try {
      return Optional.of(PortAddress.of(sandboxId, port));
    } catch (IllegalArgumentException _) {
      return Optional.empty();
    }
  }

  boolean isByHost() {
    return prefix.isEmpty();
  }

  /** Returns the same with another path for the program. */
  PortTarget withPath(String other) {
    return new PortTarget(address, prefix, other);
  }
}
