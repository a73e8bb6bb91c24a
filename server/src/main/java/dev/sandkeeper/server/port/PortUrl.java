package dev.sandkeeper.server.port;

import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How ports are named by hosts: {@code https://{port}-{sandbox}.sandboxes.example.com}.
 *
 * @param scheme http or https
 * @param domain what is behind the first dot of the host, in lower case
 * @param authorityEnd a colon and the port that clients connect to, or nothing
 */
public record PortUrl(String scheme, String domain, String authorityEnd) {
  private static final Pattern TEMPLATE =
      Pattern.compile(
          "(https?)://\\{port}-\\{sandbox}\\.([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?/?");
  private static final Pattern HOST =
      Pattern.compile("([0-9]{1,5})-([a-z0-9]{20})\\.(.+?)\\.?(?::[0-9]{1,5})?");

  /** Reads a template; empty when it is none. */
  public static Optional<PortUrl> parse(String template) {
    Matcher matcher = TEMPLATE.matcher(template);
    if (!matcher.matches()) {
      return Optional.empty();
    }
    String end = matcher.group(3);
    return Optional.of(new PortUrl(matcher.group(1), matcher.group(2), end == null ? "" : end));
  }

  /** Returns the URL of a port's origin, without a path. */
  public String origin(PortAddress address) {
    return scheme
        + "://"
        + address.port()
        + "-"
        + address.sandboxId()
        + "."
        + domain
        + authorityEnd;
  }

  /**
   * Returns the port that a host names.
   *
   * @param authority host and perhaps a port, as a request has it
   */
  public Optional<PortAddress> find(String authority) {
    Matcher matcher = HOST.matcher(authority.toLowerCase(Locale.ROOT));
    if (!matcher.matches() || !matcher.group(3).equals(domain)) {
      return Optional.empty();
    }
    try {
      return Optional.of(PortAddress.of(matcher.group(2), matcher.group(1)));
    } catch (IllegalArgumentException _) {
      return Optional.empty(); // the number is not one of a port
    }
  }
}
