package dev.sandkeeper.server.egress.proxy;

import dev.sandkeeper.server.egress.RefusedException;
import dev.sandkeeper.server.egress.Verdict;
import dev.sandkeeper.server.net.HopByHop;
import dev.sandkeeper.server.net.HostName;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A request to the proxy (RFC 9112). Whatever could be read in two ways is refused.
 *
 * @param method as it was sent
 * @param authority host and port as they were sent; not for the record, as passwords may be in it
 * @param path of a plain request with its query; empty for a tunnel
 * @param defaultPort the port where the authority names none; 0 for a tunnel, which must
 * @param headers in their order
 * @param isNewest whether it is of HTTP/1.1, not 1.0
 */
record Request(
    String method,
    String authority,
    String path,
    int defaultPort,
    List<Header> headers,
    boolean isNewest) {
  private static final int MAX_HEADERS = 100;
  private static final int HTTP_PORT = 80;
  private static final int LAST_PORT = 65_535;
  private static final String TOKEN = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";
  private static final Pattern REQUEST_LINE =
      Pattern.compile("(" + TOKEN + ") ([!-~]+) HTTP/1\\.([01])");
  private static final Pattern HEADER_LINE = Pattern.compile("(" + TOKEN + "):(.*)");
  private static final Pattern URL =
      Pattern.compile("http://([^/?#]+)(/[^#]*|\\?[^#]*)?", Pattern.CASE_INSENSITIVE);
  private static final Pattern AUTHORITY =
      Pattern.compile("([A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?");

  /** A name or an address and perhaps a port, behind what may be a password. */
  private static final Pattern SHOWN =
      Pattern.compile("(?:[^/?#]*@)?((?:[A-Za-z0-9.-]+|\\[[A-Za-z0-9.:%-]+])(?::[0-9]{1,5})?)");

  private static final Pattern LENGTH = Pattern.compile("[0-9]{1,18}");

  /** Said anew by the proxy. */
  private static final Set<String> SAID_ANEW = Set.of("content-length", "host");

  /**
   * A header.
   *
   * @param name in lower case
   * @param value without the blanks around it
   */
  record Header(String name, String value) {}

  /** Where a request leads. */
  record Target(HostName host, int port) {}

  /**
   * Reads a request's head.
   *
   * @throws java.io.EOFException when the connection ends before
   * @throws RefusedException {@link Verdict#MALFORMED_REQUEST}
   */
  static Request read(InputStream in) throws IOException, RefusedException {
    HeadReader reader = new HeadReader(in);
    Matcher start = REQUEST_LINE.matcher(reader.line());
    if (!start.matches()) {
      throw HeadReader.malformed();
    }
    List<Header> headers = new ArrayList<>();
    for (String line = reader.line(); !line.isEmpty(); line = reader.line()) {
      Matcher header = HEADER_LINE.matcher(line);
      if (!header.matches() || headers.size() == MAX_HEADERS) {
        throw HeadReader.malformed();
      }
      headers.add(new Header(header.group(1).toLowerCase(Locale.ROOT), header.group(2).strip()));
    }
    Request request = of(start.group(1), start.group(2), headers, start.group(3).equals("1"));
    request.checkFraming();
    return request;
  }

  private static Request of(String method, String target, List<Header> headers, boolean isNewest)
      throws RefusedException {
    if (method.equals("CONNECT")) {
      return new Request(method, target, "", 0, headers, isNewest);
    }
    Matcher url = URL.matcher(target);
    if (!url.matches()) {
      throw HeadReader.malformed();
    }
    String path = url.group(2) == null ? "" : url.group(2);
    return new Request(
        method,
        url.group(1),
        path.startsWith("/") ? path : "/" + path,
        HTTP_PORT,
        headers,
        isNewest);
  }

  boolean isTunnel() {
    return path.isEmpty();
  }

  /**
   * Returns host and port for the record, valid or not; empty when they cannot be told from more.
   */
  Optional<String> shown() {
    Matcher parts = SHOWN.matcher(authority);
    return parts.matches() ? Optional.of(parts.group(1)) : Optional.empty();
  }

  /**
   * Returns where it leads.
   *
   * @throws RefusedException {@link Verdict#ADDRESS_REFUSED}, {@link Verdict#HOST_NOT_ALLOWED} for
   *     what no rule can be about, {@link Verdict#MALFORMED_REQUEST}, or of a plain request {@link
   *     Verdict#HOST_MISMATCH}
   */
  Target target() throws RefusedException {
    Target target = target(authority);
    if (!isTunnel()) {
      List<String> hosts = values("host");
      if (hosts.size() > 1 || (hosts.isEmpty() && isNewest)) {
        throw HeadReader.malformed();
      }
      if (!hosts.isEmpty() && !target.equals(target(hosts.getFirst()))) {
        throw new RefusedException(Verdict.HOST_MISMATCH);
      }
    }
    return target;
  }

  private Target target(String text) throws RefusedException {
    Matcher parts = AUTHORITY.matcher(text);
    boolean matches = parts.matches();
    if (HostName.mayBeAddress(matches ? parts.group(1) : text)) {
      throw new RefusedException(
          matches || text.startsWith("[") ? Verdict.ADDRESS_REFUSED : Verdict.MALFORMED_REQUEST);
    }
    if (!matches || (parts.group(2) == null && defaultPort == 0)) {
      throw HeadReader.malformed();
    }
    int port = parts.group(2) == null ? defaultPort : Integer.parseInt(parts.group(2));
    if (port > LAST_PORT) {
      throw HeadReader.malformed();
    }
    try {
      return new Target(HostName.of(parts.group(1)), port);
    } catch (IllegalArgumentException _) {
      // Such as localhost: no rule can be about it.
      throw new RefusedException(Verdict.HOST_NOT_ALLOWED);
    }
  }

  /** Returns how many bytes of body follow; negative when it comes in chunks. */
  long bodyLength() {
    if (!values("transfer-encoding").isEmpty()) {
      return -1;
    }
    return values("content-length").stream().findFirst().map(Long::parseLong).orElse(0L);
  }

  /** A body whose end two programs would find at different places could hide a request. */
  private void checkFraming() throws RefusedException {
    List<String> encodings = values("transfer-encoding");
    List<String> lengths = values("content-length");
    boolean sound =
        encodings.size() + lengths.size() <= 1
            && lengths.stream().allMatch(length -> LENGTH.matcher(length).matches())
            && encodings.stream()
                .allMatch(encoding -> isNewest && encoding.equalsIgnoreCase("chunked"));
    if (!sound || (isTunnel() && encodings.size() + lengths.size() > 0)) {
      throw HeadReader.malformed();
    }
  }

  /**
   * Returns the head of the request that is passed on: for the host alone, without what is between
   * client and proxy, and the last on its connection.
   */
  String passedOn(Target target) {
    Set<String> named = HopByHop.named(values("connection"));
    StringBuilder head = new StringBuilder();
    head.append(method).append(' ').append(path).append(" HTTP/1.1\r\n");
    head.append("Host: ").append(target.host());
    if (target.port() != HTTP_PORT) {
      head.append(':').append(target.port());
    }
    head.append("\r\nConnection: close\r\n");
    for (Header header : headers) {
      if (!HopByHop.NAMES.contains(header.name())
          && !SAID_ANEW.contains(header.name())
          && !named.contains(header.name())) {
        head.append(header.name()).append(": ").append(header.value()).append("\r\n");
      }
    }
    if (bodyLength() < 0) {
      head.append("Transfer-Encoding: chunked\r\n");
    } else if (!values("content-length").isEmpty()) {
      head.append("Content-Length: ").append(bodyLength()).append("\r\n");
    }
    return head.append("\r\n").toString();
  }

  private List<String> values(String name) {
    return headers.stream()
        .filter(header -> header.name().equals(name))
        .map(Header::value)
        .toList();
  }
}
