package dev.sandkeeper.server.net;

import java.util.Arrays;
import java.util.Collection;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/** Headers of HTTP that are about one connection, so that a proxy does not pass them on. */
public final class HopByHop {
  /** The names of those that are known, in lower case (RFC 9110, 7.6.1; RFC 7540, 3.2.1). */
  public static final Set<String> NAMES =
      Set.of(
          "connection",
          "http2-settings",
          "keep-alive",
          "proxy-authenticate",
          "proxy-authorization",
          "proxy-connection",
          "te",
          "trailer",
          "transfer-encoding",
          "upgrade");

  private HopByHop() {}

  /** Returns, in lower case, the names that the values of the header Connection have. */
  public static Set<String> named(Collection<String> connection) {
    return connection.stream()
        .flatMap(value -> Arrays.stream(value.split(",")))
        .map(name -> name.strip().toLowerCase(Locale.ROOT))
        .collect(Collectors.toUnmodifiableSet());
  }
}
