package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.regex.Pattern;

/**
 * A URL that alerts may be sent to, as far as its text tells; where its host leads is looked at by
 * {@link Addresses}.
 *
 * @param uri http or https, with a host, without user and fragment
 */
record WebhookUrl(URI uri) {
  private static final int MAX_LENGTH = 2048;
  private static final int MAX_PORT = 65_535;
  private static final Pattern PRINTABLE = Pattern.compile("[!-~]+");
  private static final Pattern SCHEME = Pattern.compile("https?");

  /** What any program may take for an IPv4 address: the last part is a number. */
  private static final Pattern NUMERIC = Pattern.compile("(.*\\.)?([0-9]+|0[xX][0-9a-fA-F]*)\\.?");

  private static final Pattern FOUR_DECIMALS =
      Pattern.compile("(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){3}");

  /**
   * Reads a URL.
   *
   * <p>Of an IPv4 address there is one notation only. Others, such as {@code 0x7f000001} or {@code
   * 0177.0.0.1}, are read differently by different programs, so a check would prove nothing.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} when alerts may not be sent there
   */
  static WebhookUrl of(String text) {
    check(
        text.length() <= MAX_LENGTH,
        text.length() + " characters (expected: at most " + MAX_LENGTH + ")");
    check(PRINTABLE.matcher(text).matches(), "has other characters (expected: printable ASCII)");
    URI uri = parse(text);
    String scheme = String.valueOf(uri.getScheme());
    check(SCHEME.matcher(scheme).matches(), "scheme " + scheme + " (expected: http or https)");
    check(uri.getRawUserInfo() == null, "has a user (expected: none)");
    check(uri.getRawFragment() == null, "has a fragment (expected: none)");
    int port = uri.getPort();
    check(
        port == -1 || (port >= 1 && port <= MAX_PORT),
        "port " + port + " (expected: 1 to " + MAX_PORT + ")");
    String host = uri.getHost();
    check(
        !NUMERIC.matcher(host).matches() || FOUR_DECIMALS.matcher(host).matches(),
        "host " + host + " (expected: four decimal numbers without leading zeros, or a name)");
    check(host.indexOf('%') < 0, "host " + host + " (expected: an address without a zone)");
    return new WebhookUrl(uri);
  }

  private static URI parse(String text) {
    try {
      URI uri = new URI(text).parseServerAuthority();
      if (uri.getHost() != null) {
        return uri;
      }
    } catch (URISyntaxException _) {
      // Falls through to the refusal.
    }
    throw SandkeeperException.invalidField(
        "url",
        shown(text)
            + " (expected: http:// or https:// and a host name, four decimal numbers or an IPv6"
            + " address in brackets)");
  }

  /** Returns the beginning without what may be a password. */
  private static String shown(String text) {
    return text.indexOf('@') >= 0 ? "is none" : text.substring(0, Math.min(text.length(), 64));
  }

  private static void check(boolean condition, String description) {
    if (!condition) {
      throw SandkeeperException.invalidField("url", description);
    }
  }

  /** Returns the name or the address, the latter without brackets. */
  String host() {
    String host = uri.getHost();
    return host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
  }

  /** Says whether the host is an address. */
  boolean hasAddress() {
    return uri.getHost().startsWith("[") || FOUR_DECIMALS.matcher(uri.getHost()).matches();
  }

  /** Returns scheme, host and port: what may be shown, as a path or a query may hold a secret. */
  String origin() {
    return uri.getScheme() + "://" + uri.getRawAuthority();
  }
}
