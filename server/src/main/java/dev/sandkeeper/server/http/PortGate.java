package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.api.Calls;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.port.PortAddress;
import dev.sandkeeper.server.port.Ports;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Who may reach a port: by an API key in {@code x-api-key} or {@code authorization}, by the token
 * of a signed URL, or by the cookie that such a URL was exchanged for.
 */
final class PortGate {
  static final String API_KEY_HEADER = "x-api-key";

  /** The cookie of a host with TLS; browsers let no other host set it. */
  static final String HOST_COOKIE = "__Host-sandkeeper-port";

  static final String COOKIE = "sandkeeper-port";

  private static final Set<String> COOKIES = Set.of(HOST_COOKIE, COOKIE);
  private static final Pattern BEARER_KEY = Pattern.compile("(?i:bearer)\\s+(sk_[a-z0-9]+)\\s*");

  private final Calls calls;
  private final Ports ports;

  PortGate(Calls calls, Ports ports) {
    this.calls = calls;
    this.ports = ports;
  }

  /**
   * Returns who comes.
   *
   * @param token the one in the URL
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS}, {@link
   *     ErrorReason#RATE_LIMITED} or {@link ErrorReason#SCOPE_MISSING}
   */
  Ports.Visitor admit(ServiceRequestContext context, PortAddress address, Optional<String> token) {
    RequestHeaders headers = context.request().headers();
    Optional<String> key =
        Optional.ofNullable(headers.get(API_KEY_HEADER))
            .or(() -> bearerKey(headers.get(HttpHeaderNames.AUTHORIZATION, "")));
    if (key.isPresent()) {
      Principal principal = calls.authenticate(context, key.get().strip());
      principal.require(Scope.RUN);
      return new Ports.Visitor(principal, Optional.empty());
    }
    // A neighbour below the same domain may have set another cookie of that name.
    List<String> tokens =
        token
            .map(List::of)
            .orElseGet(() -> isOwnPage(headers) ? cookies(headers, COOKIES) : List.of());
    if (!tokens.isEmpty()) {
      return ports.visitor(tokens, address, Calls.origin(context));
    }
    throw calls.withoutKey(context);
  }

  static Optional<String> bearerKey(String authorization) {
    Matcher matcher = BEARER_KEY.matcher(authorization);
    return matcher.matches() ? Optional.of(matcher.group(1)) : Optional.empty();
  }

  /**
   * Says whether the cookie speaks for whoever sent the request. Ports of other sandboxes are other
   * hosts of the same site, so a page of one of them could have the browser send it along; only
   * following a link is nothing that a page can take advantage of.
   */
  private static boolean isOwnPage(RequestHeaders headers) {
    String origin = headers.get(HttpHeaderNames.ORIGIN, "");
    if (!origin.isEmpty() && !isOrigin(origin, PortHeaders.authority(headers))) {
      return false;
    }
    String site = headers.get("sec-fetch-site", "none");
    return site.equals("none")
        || site.equals("same-origin")
        || (headers.method() == HttpMethod.GET
            && headers.get("sec-fetch-mode", "").equals("navigate"));
  }

  private static boolean isOrigin(String origin, String authority) {
    try {
      return authority.equalsIgnoreCase(URI.create(origin).getAuthority());
    } catch (IllegalArgumentException _) {
      return false;
    }
  }

  private static List<String> cookies(RequestHeaders headers, Set<String> names) {
    return pairs(headers)
        .filter(pair -> names.contains(name(pair)))
        .map(pair -> pair.substring(pair.indexOf('=') + 1).strip())
        .toList();
  }

  /** Returns the cookies that are the program's own, as one header. */
  static Optional<String> otherCookies(RequestHeaders headers) {
    String others =
        pairs(headers)
            .filter(pair -> !COOKIES.contains(name(pair)))
            .collect(Collectors.joining("; "));
    return others.isEmpty() ? Optional.empty() : Optional.of(others);
  }

  /** Says whether a program's cookie has a name that is not for programs. */
  static boolean isReserved(String setCookie) {
    return COOKIES.contains(name(setCookie.split(";", 2)[0]));
  }

  private static Stream<String> pairs(RequestHeaders headers) {
    return headers.getAll(HttpHeaderNames.COOKIE).stream()
        .flatMap(header -> Arrays.stream(header.split(";")))
        .map(String::strip)
        .filter(pair -> !pair.isEmpty());
  }

  private static String name(String pair) {
    int end = pair.indexOf('=');
    return (end < 0 ? pair : pair.substring(0, end)).strip();
  }

  /**
   * Takes the token out of the query.
   *
   * @param path path and query, or a whole URL
   */
  static Split split(String path) {
    int start = path.indexOf('?');
    if (start < 0) {
      return new Split(path, Optional.empty());
    }
    String prefix = Ports.TOKEN_PARAMETER + "=";
    List<String> others = new ArrayList<>();
    Optional<String> token = Optional.empty();
    for (String parameter : path.substring(start + 1).split("&", -1)) {
      if (parameter.toLowerCase(Locale.ROOT).startsWith(prefix)) {
        token = Optional.of(parameter.substring(prefix.length()));
      } else {
        others.add(parameter);
      }
    }
    if (token.isEmpty()) {
      return new Split(path, token);
    }
    String query = others.isEmpty() ? "" : "?" + String.join("&", others);
    return new Split(path.substring(0, start) + query, token);
  }

  /**
   * A path and query without the token.
   *
   * @param path what is left
   * @param token the last one there was
   */
  record Split(String path, Optional<String> token) {}
}
