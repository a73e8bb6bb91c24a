package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.ResponseHeadersBuilder;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.net.HopByHop;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.util.AsciiString;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Pattern;

/** What of the headers passes between a client and a program in a sandbox, and what is added. */
final class PortHeaders {
  /** What is decided here, whatever the client says; and its cookies, which have two owners. */
  private static final Set<String> NOT_INWARD =
      Set.of(
          "host",
          "expect",
          "cookie",
          "content-length",
          "forwarded",
          "x-forwarded-for",
          "x-forwarded-host",
          "x-forwarded-proto",
          "x-forwarded-prefix",
          PortGate.API_KEY_HEADER);

  /** What a program could say about more than its own host. */
  private static final Set<String> NOT_OUTWARD = Set.of("alt-svc", "clear-site-data");

  /** What a program may not say about the origin of the API. */
  private static final Set<String> NOT_OUTWARD_BY_PATH =
      Set.of(
          "set-cookie",
          "service-worker-allowed",
          "strict-transport-security",
          "nel",
          "report-to",
          "reporting-endpoints");

  /** Scripts may run, in an origin of their own: not that of the API. */
  static final String SANDBOX_POLICY =
      "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts";

  private static final Pattern DOMAIN =
      Pattern.compile(";\\s*domain\\s*=[^;]*", Pattern.CASE_INSENSITIVE);

  private PortHeaders() {}

  /** Says whether the client asks for a WebSocket, in the way of HTTP/1.1 or in that of HTTP/2. */
  static boolean isWebSocket(RequestHeaders headers) {
    if (headers.method() == HttpMethod.CONNECT) {
      return headers.get(HttpHeaderNames.PROTOCOL, "").equalsIgnoreCase("websocket");
    }
    return headers.method() == HttpMethod.GET
        && headers.get(HttpHeaderNames.UPGRADE, "").equalsIgnoreCase("websocket");
  }

  /** Returns the host that a request is for, and perhaps its port; empty when it names none. */
  static String authority(RequestHeaders headers) {
    return Objects.requireNonNullElse(headers.authority(), "");
  }

  /**
   * Makes the head of the request for the program.
   *
   * @param secure whether the client speaks TLS, with this server or with a proxy before it
   * @param hasBody whether anything may follow
   * @throws IllegalArgumentException when something in it could be taken for more than it is
   */
  static HttpRequest inward(
      ServiceRequestContext context, PortTarget target, boolean secure, boolean hasBody) {
    RequestHeaders headers = context.request().headers();
    boolean webSocket = isWebSocket(headers);
    HttpRequest request =
        new DefaultHttpRequest(
            HttpVersion.HTTP_1_1,
            io.netty.handler.codec.http.HttpMethod.valueOf(
                webSocket ? "GET" : headers.method().name()),
            target.path());
    HttpHeaders inward = request.headers();
    inward.set("host", authority(headers));
    Set<String> dropped = HopByHop.named(headers.getAll(HttpHeaderNames.CONNECTION));
    for (Map.Entry<AsciiString, String> header : headers) {
      String name = header.getKey().toString();
      if (!name.startsWith(":")
          && !dropped.contains(name)
          && !HopByHop.NAMES.contains(name)
          && !NOT_INWARD.contains(name)
          && !isKey(name, header.getValue())) {
        inward.add(
            name, name.equals("referer") ? withoutToken(header.getValue()) : header.getValue());
      }
    }
    if (target.isByHost()) {
      PortGate.otherCookies(headers).ifPresent(cookies -> inward.set("cookie", cookies));
    } else {
      inward.set("x-forwarded-prefix", target.prefix());
    }
    inward.set("x-forwarded-for", context.clientAddress().getHostAddress());
    inward.set("x-forwarded-host", authority(headers));
    inward.set("x-forwarded-proto", secure ? "https" : "http");
    if (webSocket) {
      inward.set("connection", "Upgrade").set("upgrade", "websocket");
      if (!inward.contains("sec-websocket-key")) {
        inward.set("sec-websocket-key", webSocketKey());
      }
    } else {
      inward.set("connection", "close");
      if (hasBody && headers.contentLength() >= 0) {
        inward.set("content-length", headers.contentLength());
      } else if (hasBody) {
        inward.set("transfer-encoding", "chunked");
      } else if (headers.contains(HttpHeaderNames.CONTENT_LENGTH)) {
        inward.set("content-length", 0);
      }
    }
    return request;
  }

  /** HTTP/2 has none, as it has no need to tell WebSocket from what it is not. */
  private static String webSocketKey() {
    UUID chance = UUID.randomUUID();
    return Base64.getEncoder()
        .encodeToString(
            ByteBuffer.allocate(2 * Long.BYTES)
                .putLong(chance.getMostSignificantBits())
                .putLong(chance.getLeastSignificantBits())
                .array());
  }

  /**
   * Only those who follow the URL of a port are redirected to where there is no token. The page
   * that answers a form, say, is found at the URL, which browsers name in what they ask for next.
   */
  private static String withoutToken(String referer) {
    return PortGate.split(referer).path();
  }

  private static boolean isKey(String name, String value) {
    return name.equals("authorization") && PortGate.bearerKey(value).isPresent();
  }

  /**
   * Makes the head of the answer for the client.
   *
   * @param overHttp2 whether the client speaks HTTP/2, where a WebSocket begins otherwise
   */
  static ResponseHeaders outward(HttpResponse response, PortTarget target, boolean overHttp2) {
    boolean switches = response.status().code() == HttpStatus.SWITCHING_PROTOCOLS.code();
    ResponseHeadersBuilder headers =
        ResponseHeaders.builder(
            switches && overHttp2 ? HttpStatus.OK : HttpStatus.valueOf(response.status().code()));
    Set<String> dropped = HopByHop.named(response.headers().getAll("connection"));
    for (Map.Entry<String, String> header : response.headers()) {
      String name = header.getKey().toLowerCase(Locale.ROOT);
      if (!dropped.contains(name)
          && !HopByHop.NAMES.contains(name)
          && !NOT_OUTWARD.contains(name)
          && !(name.equals("sec-websocket-accept") && overHttp2)
          && (target.isByHost() || !NOT_OUTWARD_BY_PATH.contains(name))) {
        add(headers, name, header.getValue(), target);
      }
    }
    if (switches && !overHttp2) {
      headers.set(HttpHeaderNames.CONNECTION, "Upgrade").set(HttpHeaderNames.UPGRADE, "websocket");
    }
    if (!target.isByHost()) {
      headers
          .add(HttpHeaderNames.CONTENT_SECURITY_POLICY, SANDBOX_POLICY)
          .set(HttpHeaderNames.X_CONTENT_TYPE_OPTIONS, "nosniff");
    }
    return headers.build();
  }

  private static void add(
      ResponseHeadersBuilder headers, String name, String value, PortTarget target) {
    switch (name) {
      case "set-cookie" -> {
        if (!PortGate.isReserved(value)) {
          // With a domain it would be a cookie of other sandboxes as well.
          headers.add(name, DOMAIN.matcher(value).replaceAll(""));
        }
      }
      case "location" -> {
        boolean absolutePath = value.startsWith("/") && !value.startsWith("//");
        headers.add(name, absolutePath ? target.prefix() + value : value);
      }
      default -> headers.add(name, value);
    }
  }
}
