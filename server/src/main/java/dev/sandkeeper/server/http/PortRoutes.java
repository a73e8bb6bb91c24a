package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.ResponseHeadersBuilder;
import com.linecorp.armeria.common.websocket.WebSocket;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.websocket.WebSocketProtocolHandler;
import com.linecorp.armeria.server.websocket.WebSocketService;
import dev.sandkeeper.server.api.OpenStreams;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.port.PortAddress;
import dev.sandkeeper.server.port.PortConnection;
import dev.sandkeeper.server.port.Ports;
import dev.sandkeeper.server.telemetry.Spans;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Pattern;

/**
 * Ports of sandboxes: passes requests on to the programs that listen on them, and what those
 * answer.
 *
 * <p>It is a WebSocket service for Armeria, which then lets the bytes of a WebSocket through as
 * they are: their frames are the affair of client and program.
 */
final class PortRoutes implements WebSocketService {
  /** Where ports are found by path. */
  static final String PATH = "/v1/sandboxes/{sandbox_id}/ports/{port}";

  private static final Pattern VISIBLE = Pattern.compile("[!-~]*");

  private final PortGate gate;
  private final Ports ports;
  private final OpenStreams openStreams;
  private final BillingClock clock;

  PortRoutes(PortGate gate, Ports ports, OpenStreams openStreams, BillingClock clock) {
    this.gate = gate;
    this.ports = ports;
    this.openStreams = openStreams;
    this.clock = clock;
  }

  /** Says whether a request is one for a port, whose body may take as long as it likes. */
  boolean isFor(RequestHeaders headers) {
    return target(PortHeaders.authority(headers), headers.path()).isPresent();
  }

  private Optional<PortTarget> target(String authority, String rawPath) {
    return ports
        .url()
        .flatMap(url -> PortTarget.byHost(url, authority, rawPath))
        .or(() -> PortTarget.byPath(rawPath));
  }

  @Override
  public HttpResponse serve(ServiceRequestContext context, HttpRequest request) {
    return HttpResponse.of(
        CompletableFuture.supplyAsync(
            () -> answer(context, request), Spans.carrying(context.blockingTaskExecutor())));
  }

  private HttpResponse answer(ServiceRequestContext context, HttpRequest request) {
    RequestHeaders headers = request.headers();
    PortTarget target =
        target(PortHeaders.authority(headers), context.rawPath()).orElseThrow(PortRoutes::notFound);
    PortAddress address = target.address().orElseThrow(PortRoutes::notFound);
    boolean webSocket = PortHeaders.isWebSocket(headers);
    if (!webSocket
        && (headers.method() == HttpMethod.CONNECT || headers.method() == HttpMethod.TRACE)) {
      throw new HttpFailure(
          HttpStatus.METHOD_NOT_ALLOWED, "Ports take no CONNECT but for WebSockets, and no TRACE.");
    }
    if (!VISIBLE.matcher(target.path()).matches()) {
      throw unpassable();
    }
    PortGate.Split split = PortGate.split(target.path());
    Ports.Visitor visitor = gate.admit(context, address, split.token());
    if (!split.path().startsWith("/")) {
      return redirect(target.prefix() + "/" + target.path(), Optional.empty());
    }
    PortTarget inside = target.withPath(split.path());
    boolean followsRedirects =
        !webSocket && (headers.method() == HttpMethod.GET || headers.method() == HttpMethod.HEAD);
    if (split.token().isPresent() && visitor.urlExpireTime().isPresent() && followsRedirects) {
      return exchangeForCookie(context, inside, split.token().get(), visitor.urlExpireTime().get());
    }
    return pass(context, request, visitor, address, inside);
  }

  /** Lets the address of the page, its history and its links do without the token. */
  private HttpResponse exchangeForCookie(
      ServiceRequestContext context, PortTarget target, String token, Instant expireTime) {
    boolean secure = isSecure(context, target);
    String name = target.isByHost() && secure ? PortGate.HOST_COOKIE : PortGate.COOKIE;
    long seconds = Math.max(1, Duration.between(clock.now(), expireTime).toSeconds());
    String attributes =
        "; Path=%s/; Max-Age=%d; HttpOnly; SameSite=Lax%s"
            .formatted(target.prefix(), seconds, secure ? "; Secure" : "");
    // With two slashes in front, or what browsers take for them, it would name another host.
    String place = target.prefix() + target.path().replaceFirst("^/[/\\\\]+", "/");
    return redirect(place, Optional.of(name + "=" + token + attributes));
  }

  /** Says whether the client speaks TLS, as far as can be known behind a proxy. */
  private boolean isSecure(ServiceRequestContext context, PortTarget target) {
    boolean byUrl =
        target.isByHost() && ports.url().filter(url -> url.scheme().equals("https")).isPresent();
    return byUrl
        || context.sessionProtocol().isTls()
        || context.request().headers().get("x-forwarded-proto", "").equals("https");
  }

  private HttpResponse pass(
      ServiceRequestContext context,
      HttpRequest request,
      Ports.Visitor visitor,
      PortAddress address,
      PortTarget target) {
    io.netty.handler.codec.http.HttpRequest head;
    try {
      head = PortHeaders.inward(context, target, isSecure(context, target), !request.isEmpty());
    } catch (IllegalArgumentException _) {
      throw unpassable();
    }
    boolean overHttp2 = request.method() == HttpMethod.CONNECT;
    PortConnection connection = connect(visitor, address);
    return StreamedResponse.start(response -> {
      try {
        openStreams.run(
            visitor.principal(),
            () ->
                new PortExchange(
                        connection,
                        head,
                        request,
                        answer -> PortHeaders.outward(answer, target, overHttp2))
                    .run(response));
      } finally {
        connection.close();
      }
    });
  }

  /** Refuses as a browser or proxy understands it. */
  private PortConnection connect(Ports.Visitor visitor, PortAddress address) {
    try {
      return ports.connect(visitor, address);
    } catch (SandkeeperException e) {
      ErrorReason reason = e.reason();
      if (reason == ErrorReason.SANDBOX_PAUSED
          || reason == ErrorReason.SANDBOX_NOT_RUNNING
          || reason == ErrorReason.SANDBOX_ELSEWHERE) {
        throw new HttpFailure(HttpStatus.CONFLICT, e);
      }
      throw e;
    }
  }

  private static HttpResponse redirect(String place, Optional<String> cookie) {
    ResponseHeadersBuilder headers =
        ResponseHeaders.builder(HttpStatus.TEMPORARY_REDIRECT)
            .set(HttpHeaderNames.LOCATION, place)
            .set(HttpHeaderNames.CACHE_CONTROL, "no-store")
            .set(HttpHeaderNames.REFERRER_POLICY, "no-referrer");
    cookie.ifPresent(value -> headers.set(HttpHeaderNames.SET_COOKIE, value));
    return HttpResponse.of(headers.build());
  }

  private static HttpFailure notFound() {
    return new HttpFailure(HttpStatus.NOT_FOUND, "There is no port of a sandbox of that name.");
  }

  private static HttpFailure unpassable() {
    return new HttpFailure(
        HttpStatus.BAD_REQUEST, "The request has characters that cannot be passed on.");
  }

  @Override
  public WebSocket serve(ServiceRequestContext context, WebSocket in) {
    throw new UnsupportedOperationException("frames are not looked at here");
  }

  @Override
  public WebSocketProtocolHandler protocolHandler() {
    throw new UnsupportedOperationException("frames are not looked at here");
  }
}
