package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.util.Durations;
import com.linecorp.armeria.client.ClientFactory;
import com.linecorp.armeria.client.WebClient;
import com.linecorp.armeria.client.websocket.WebSocketClient;
import com.linecorp.armeria.client.websocket.WebSocketSession;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.websocket.WebSocketFrame;
import com.linecorp.armeria.common.websocket.WebSocketFrameType;
import com.linecorp.armeria.common.websocket.WebSocketWriter;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.wire.Wire;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.ExposePortRequest;
import dev.sandkeeper.v1.ExposePortResponse;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.RevokeApiKeyRequest;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.Scope;
import io.grpc.Status;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Ports of real sandboxes, reached by real clients of HTTP/1.1, HTTP/2 and WebSocket. */
class PortServiceTest {
  private static final int MAX_CONNECTIONS = 4;
  private static final String DOMAIN = "sandboxes.localhost";
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_PORTS_URL",
              "http://{port}-{sandbox}." + DOMAIN + ":7400",
              "SANDKEEPER_PORTS_MAX_CONNECTIONS",
              Integer.toString(MAX_CONNECTIONS),
              "SANDKEEPER_PORTS_IDLE_TIMEOUT",
              "2 s",
              "SANDKEEPER_SERVER_REQUEST_TIMEOUT",
              "1 s"));

  private final HttpCaller http = new HttpCaller(server);
  private final Caller runner = server.runner();
  private String sandbox;

  @BeforeEach
  void listen() {
    sandbox = runner.create().getSandboxId();
    PortProgram.listen(runner, sandbox, "127.0.0.1", 8080);
  }

  @AfterEach
  void closeCaller() {
    http.close();
  }

  private String path(String inside) {
    return "/v1/sandboxes/" + sandbox + "/ports/8080" + inside;
  }

  private Answer get(String inside, String... headers) {
    return http.get(path(inside), headers);
  }

  private Answer anonymous(String pathAndQuery, String... headers) {
    return http.send(http.anonymous(pathAndQuery, headers).GET());
  }

  private ExposePortResponse expose() {
    return expose(runner);
  }

  private ExposePortResponse expose(Caller caller) {
    return caller
        .sandboxes()
        .exposePort(ExposePortRequest.newBuilder().setSandboxId(sandbox).setPort(8080).build());
  }

  private static String token(ExposePortResponse exposed) {
    return exposed.getPath().substring(exposed.getPath().indexOf('=') + 1);
  }

  /** Sends a request to the host of the port, whose name leads nowhere. */
  private AggregatedHttpResponse byHost(
      String protocol, HttpMethod method, String inside, String... headers) {
    var request =
        RequestHeaders.builder(method, inside).authority("8080-" + sandbox + "." + DOMAIN);
    for (int i = 0; i < headers.length; i += 2) {
      request.add(headers[i], headers[i + 1]);
    }
    try (ClientFactory factory = ClientFactory.builder().build()) {
      return WebClient.builder(protocol + "://127.0.0.1:" + server.port())
          .factory(factory)
          .responseTimeout(PATIENCE)
          .build()
          .execute(request.build())
          .aggregate()
          .join();
    }
  }

  @ParameterizedTest
  @EnumSource(HttpClient.Version.class)
  void aProgramIsReachedByPathWithAKey(HttpClient.Version version) throws Exception {
    try (HttpClient client = HttpClient.newBuilder().version(version).build()) {
      HttpResponse<String> answer =
          client.send(
              http.request(path("/a//b;x=1/%2e/c?q=%2F&r"), "x-own", "1").GET().build(),
              BodyHandlers.ofString());

      assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
      assertThat(answer.version()).isEqualTo(version);
      assertThat(answer.body())
          .startsWith("GET /a//b;x=1/%2e/c?q=%2F&r HTTP/1.1\n")
          .contains("x-own: 1")
          .contains("x-forwarded-for: 127.0.0.1")
          .contains("x-forwarded-prefix: " + path(""))
          .contains("connection: close")
          .doesNotContainIgnoringCase("transfer-encoding")
          .doesNotContainIgnoringCase("authorization")
          .doesNotContain(server.admin().secret());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"h1c", "h2c"})
  void aProgramIsReachedByHost(String protocol) {
    AggregatedHttpResponse answer =
        byHost(
            protocol,
            HttpMethod.GET,
            "/a?b",
            "x-api-key",
            runner.secret(),
            "authorization",
            "Bearer of-the-program",
            "cookie",
            "own=1; sandkeeper-port=x");

    assertThat(answer.status().code()).as(answer.contentUtf8()).isEqualTo(200);
    assertThat(answer.contentUtf8())
        .startsWith("GET /a?b HTTP/1.1\n")
        .contains("host: 8080-" + sandbox + "." + DOMAIN)
        .contains("authorization: Bearer of-the-program")
        .contains("cookie: own=1\n")
        .doesNotContain("x-api-key", runner.secret(), "sandkeeper-port", "x-forwarded-prefix");
    assertThat(answer.headers().contains("content-security-policy")).isFalse();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/health",
        "/docs/",
        "/metrics",
        "/openapi.json",
        "/v1/sandboxes",
        "/v1/sandboxes/a/ports/80/",
        "/api/v1/sandboxes/a/files/b",
        "/sandkeeper.v1.SandboxService/ListSandboxes"
      })
  void onAHostOfItsOwnEveryPathIsThePrograms(String inside) {
    AggregatedHttpResponse answer =
        byHost("h1c", HttpMethod.GET, inside, "x-api-key", runner.secret());

    assertThat(answer.contentUtf8()).startsWith("GET " + inside + " HTTP/1.1\n");
  }

  @Test
  void aUrlIsExchangedForACookieAndTheTokenReachesNobody() {
    ExposePortResponse exposed = expose();
    String token = token(exposed);

    Answer first = anonymous(exposed.getPath() + "&page=2");
    String cookie = first.header("set-cookie").split(";", 2)[0];
    String referer = "http://host.example" + exposed.getPath();
    Answer second =
        anonymous(first.header("location"), "cookie", "own=1; " + cookie, "referer", referer);

    assertThat(first.status()).isEqualTo(307);
    assertThat(first.header("location")).isEqualTo(path("/?page=2"));
    assertThat(first.header("set-cookie"))
        .contains("; Path=" + path("/"), "; HttpOnly", "; SameSite=Lax", "; Max-Age=3");
    assertThat(first.header("referrer-policy")).isEqualTo("no-referrer");
    assertThat(first.header("cache-control")).isEqualTo("no-store");
    assertThat(second.status()).isEqualTo(200);
    assertThat(second.text()).startsWith("GET /?page=2 HTTP/1.1").doesNotContain(token, "cookie");
    assertThat(auditTexts()).noneMatch(text -> text.contains(token));
    assertThat(audited("port_expose")).hasSize(1);
    assertThat(audited("port_connect"))
        .singleElement()
        .satisfies(event -> assertThat(event.getDetail()).contains("port 8080 by the URL until"));
  }

  @Test
  void aUrlByHostIsExchangedForACookieOfThatHost() {
    ExposePortResponse exposed = expose();
    URI url = URI.create(exposed.getUrl());

    AggregatedHttpResponse first =
        byHost("h2c", HttpMethod.GET, "//evil.example/?" + url.getRawQuery());
    String setCookie = first.headers().get("set-cookie", "");
    AggregatedHttpResponse second =
        byHost("h2c", HttpMethod.GET, "/x", "cookie", setCookie.split(";", 2)[0]);

    assertThat(url.getAuthority()).isEqualTo("8080-" + sandbox + "." + DOMAIN + ":7400");
    assertThat(first.status().code()).isEqualTo(307);
    assertThat(first.headers().get("location")).isEqualTo("/evil.example/");
    assertThat(setCookie).contains("; Path=/;", "HttpOnly").doesNotContain("Domain");
    assertThat(second.contentUtf8()).startsWith("GET /x HTTP/1.1").doesNotContain("cookie");
  }

  @Test
  void aUrlIsGoodForItsOwnPortOnly() {
    String token = token(expose());
    String other = runner.create().getSandboxId();

    for (String path :
        List.of(
            "/v1/sandboxes/" + sandbox + "/ports/8081/",
            "/v1/sandboxes/" + other + "/ports/8080/")) {
      Answer byUrl = anonymous(path + "?sandkeeper-token=" + token);
      Answer byCookie = anonymous(path, "cookie", "sandkeeper-port=" + token);

      assertThat(List.of(byUrl.status(), byCookie.status())).containsOnly(401);
      assertThat(byUrl.reason()).isEqualTo("INVALID_CREDENTIALS");
    }
  }

  @Test
  void aCookieOfANeighbourDoesNotHideTheOwn() {
    String own = "sandkeeper-port=" + token(expose());

    assertThat(anonymous(path("/"), "cookie", "sandkeeper-port=x; " + own).status()).isEqualTo(200);
    assertThat(anonymous(path("/"), "cookie", own + "; sandkeeper-port=x").status()).isEqualTo(200);
  }

  @ParameterizedTest
  @CsvSource({
    "origin, http://evil.example, 401",
    "origin, null, 401",
    "sec-fetch-site, same-site, 401",
    "sec-fetch-site, cross-site, 401",
    "sec-fetch-site, same-origin, 200",
    "sec-fetch-site, none, 200",
  })
  void pagesOfOthersCannotUseTheCookie(String header, String value, int status) {
    String cookie = "sandkeeper-port=" + token(expose());

    assertThat(anonymous(path("/"), "cookie", cookie, header, value).status()).isEqualTo(status);
  }

  @Test
  void withoutAKeyOrUrlThereIsNothing() {
    Answer none = anonymous(path("/"));

    assertThat(none.status()).isEqualTo(401);
    assertThat(none.reason()).isEqualTo("INVALID_CREDENTIALS");
    assertThat(anonymous(path("/"), "authorization", "Bearer other").status()).isEqualTo(401);
    assertThat(anonymous(path("/"), "x-api-key", "sk_" + "0".repeat(40)).status()).isEqualTo(401);
    assertThat(anonymous(path("/"), "x-api-key", server.reader().secret()).reason())
        .isEqualTo("SCOPE_MISSING");
    assertThat(anonymous(path("/"), "x-api-key", server.stranger().secret()).reason())
        .isEqualTo("SANDBOX_NOT_FOUND");
    assertThat(anonymous(path("/"), "x-api-key", server.agent().secret()).status()).isEqualTo(404);
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> expose(server.stranger()));
    Refusal.of(
        Status.Code.PERMISSION_DENIED, ErrorReason.SCOPE_MISSING, () -> expose(server.reader()));
  }

  @Test
  void aUrlEndsWithItsKeyAndSoDoesWhatIsOpen() throws Exception {
    Caller other = server.newCaller(key -> key.addScopes(Scope.SCOPE_RUN));
    String cookie = "sandkeeper-port=" + token(expose(other));
    Listener listener = new Listener();
    WebSocket socket = connect("/", listener, "cookie", cookie);
    assertThat(listener.next()).startsWith("GET /");
    String keyId = audited("port_expose").getFirst().getKeyId();

    var _ =
        server
            .admin()
            .admin()
            .revokeApiKey(RevokeApiKeyRequest.newBuilder().setKeyId(keyId).build());

    assertThat(anonymous(path("/"), "cookie", cookie).status()).isEqualTo(401);
    await()
        .until(() -> {
          beat(socket);
          return listener.isOver();
        });
  }

  /** Sends something, so that the connection is not idle; it may be over. */
  private static void beat(WebSocket socket) {
    var _ = socket.sendText("beat", true).handle((_, _) -> "tried").join();
  }

  @Test
  void anExpiredUrlOpensNothing() {
    String brief =
        runner
            .sandboxes()
            .exposePort(
                ExposePortRequest.newBuilder()
                    .setSandboxId(sandbox)
                    .setPort(8080)
                    .setValidity(Durations.fromSeconds(1))
                    .build())
            .getPath();

    await().untilAsserted(() -> assertThat(anonymous(brief).status()).isEqualTo(401));
  }

  @ParameterizedTest
  @EnumSource(HttpClient.Version.class)
  void bodiesArriveWholeWithAndWithoutALength(HttpClient.Version version) throws Exception {
    byte[] body = new byte[3 << 20];
    new Random(7).nextBytes(body);
    String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
    try (HttpClient client = HttpClient.newBuilder().version(version).build()) {
      HttpRequest sized = http.request(path("/")).POST(BodyPublishers.ofByteArray(body)).build();
      HttpRequest unsized =
          http.request(path("/"))
              .POST(BodyPublishers.fromPublisher(BodyPublishers.ofByteArray(body)))
              .build();

      assertThat(client.send(sized, BodyHandlers.ofString()).body())
          .isEqualTo(body.length + " " + digest + " None");
      assertThat(client.send(unsized, BodyHandlers.ofString()).body())
          .isEqualTo(body.length + " " + digest + " chunked");
    }
  }

  @Test
  void aSlowReaderIsWaitedForAndGetsAll() throws Exception {
    int size = 64 << 20;
    HttpResponse<InputStream> answer = http.open(http.request(path("/bytes?" + size)).GET());
    long count = 0;
    try (InputStream body = answer.body()) {
      // All that is on the way is less than it, so the program is held back by now.
      for (int read = body.read(); read >= 0; read = body.read(new byte[1 << 16])) {
        count += count == 0 ? 1 : read;
      }
    }
    assertThat(count).isEqualTo(size);
  }

  @Test
  void whoReadsNothingIsLeftAfterTheIdleTimeout() throws Exception {
    HttpResponse<InputStream> answer = http.open(http.request(path("/bytes?" + (256 << 20))).GET());

    await().atMost(PATIENCE).untilAsserted(() -> assertThat(open()).isZero());
    assertThatThrownBy(() -> answer.body().readAllBytes()).isInstanceOf(java.io.IOException.class);
  }

  private static double open() {
    return server.metric("sandkeeper_port_connection_active");
  }

  @Test
  void aWebSocketPassesFramesBothWays() throws Exception {
    Listener listener = new Listener();
    WebSocket socket =
        connect("/socket?x=1", listener, "authorization", "Bearer " + runner.secret());

    assertThat(listener.next()).isEqualTo("GET /socket?x=1 HTTP/1.1");
    socket.sendText("hello", true).join();
    assertThat(listener.next()).isEqualTo("hello");
    socket.sendText("x".repeat(60_000), true).join();
    assertThat(listener.next()).hasSize(60_000);
    socket.sendClose(WebSocket.NORMAL_CLOSURE, "done").join();
    assertThat(listener.next()).isEqualTo("closed 1000");
    await().untilAsserted(() -> assertThat(open()).isZero());
  }

  @Test
  void aWebSocketPassesFramesOverHttp2Too() {
    try (ClientFactory factory = ClientFactory.builder().build()) {
      WebSocketSession session =
          WebSocketClient.builder("ws+h2c://127.0.0.1:" + server.port())
              .factory(factory)
              .build()
              .connect(path("/socket"), HttpHeaders.of("x-api-key", runner.secret()))
              .join();
      WebSocketWriter outbound = session.outbound();
      outbound.write("hello");
      outbound.close();

      assertThat(session.inbound().collect().join())
          .filteredOn(frame -> frame.type() == WebSocketFrameType.TEXT)
          .extracting(WebSocketFrame::text)
          .containsExactly("GET /socket HTTP/1.1", "hello");
    }
  }

  @Test
  void aWebSocketOpensWithTheTokenInItsUrl() throws Exception {
    String token = token(expose());
    Listener listener = new Listener();

    WebSocket socket = connect("/socket?sandkeeper-token=" + token + "&x=1", listener);

    assertThat(listener.next()).isEqualTo("GET /socket?x=1 HTTP/1.1");
    socket.abort();
    assertThatThrownBy(() -> connect("/socket", new Listener()))
        .hasCauseInstanceOf(WebSocketHandshakeException.class);
    await().untilAsserted(() -> assertThat(open()).isZero());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "connection: Upgrade",
        "connection: Upgrade\r\ncontent-length: 61",
        "connection: Upgrade\r\ntransfer-encoding: chunked",
        "connection: keep-alive\r\ncontent-length: 61",
      })
  void whatFollowsARefusedWebSocketIsNoSecondRequest(String framing) throws Exception {
    assertThat(hidden()).hasSize(61);
    String chunks = framing.contains("chunked") ? "3d\r\n" + hidden() + "\r\n0\r\n\r\n" : hidden();
    try (Wire wire = new Wire(server.port())) {
      wire.send(Wire.ascii(handshake("/refuse", framing) + chunks));

      assertThat(wire.readUntil("refused", PATIENCE)).startsWith("HTTP/1.1 404 ");
    }
    assertRefusedAlone();
  }

  @Test
  void whatFollowsARefusedWebSocketOverHttp2IsNoSecondRequest() {
    RequestHeaders head =
        RequestHeaders.builder(HttpMethod.CONNECT, path("/refuse"))
            .set(HttpHeaderNames.PROTOCOL, "websocket")
            .add("x-api-key", runner.secret())
            .build();
    try (ClientFactory factory = ClientFactory.builder().build()) {
      AggregatedHttpResponse answer =
          WebClient.builder("h2c://127.0.0.1:" + server.port())
              .factory(factory)
              .responseTimeout(PATIENCE)
              .build()
              .execute(head, HttpData.ofAscii(hidden()))
              .aggregate()
              .join();

      assertThat(answer.status().code()).as(answer.contentUtf8()).isEqualTo(404);
      assertThat(answer.contentUtf8()).isEqualTo("refused");
    }
    assertRefusedAlone();
  }

  private String handshake(String inside, String framing) {
    return "GET "
        + path(inside)
        + " HTTP/1.1\r\nhost: h\r\nx-api-key: "
        + runner.secret()
        + "\r\n"
        + framing
        + "\r\nupgrade: websocket\r\nsec-websocket-version: 13"
        + "\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  }

  /** A request as the server would never pass it on. */
  private static String hidden() {
    return "GET /hidden HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 127.0.0.1\r\n\r\n";
  }

  /** Waits for the end of the program's connection, and asserts what came over it. */
  private void assertRefusedAlone() {
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> assertThat(get("/refused").text()).isEqualTo("GET /refuse HTTP/1.1"));
  }

  @Test
  void whatIsSentBeforeTheProgramHasSwitchedWaitsForIt() throws Exception {
    byte[] hello = {(byte) 0x81, (byte) 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o'};
    try (Wire wire = new Wire(server.port())) {
      wire.send(Wire.ascii(handshake("/socket", "connection: Upgrade")), hello);

      assertThat(wire.readUntil("hello", PATIENCE)).startsWith("HTTP/1.1 101 ");
    }
    await().untilAsserted(() -> assertThat(open()).isZero());
  }

  private WebSocket connect(String inside, Listener listener, String... header) {
    WebSocket.Builder builder = http.client().newWebSocketBuilder();
    if (header.length > 0) {
      builder.header(header[0], header[1]);
    }
    return builder
        .buildAsync(URI.create("ws://127.0.0.1:" + server.port() + path(inside)), listener)
        .join();
  }

  /** Collects what a WebSocket says. */
  private static final class Listener implements WebSocket.Listener {
    private final BlockingQueue<String> messages = new LinkedBlockingQueue<>();
    private final StringBuilder partial = new StringBuilder();

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
      partial.append(data);
      if (last) {
        messages.add(partial.toString());
        partial.setLength(0);
      }
      socket.request(1);
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
      throw new AssertionError("nothing binary was sent");
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
      messages.add("closed " + code);
      return CompletableFuture.completedFuture(null);
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
      messages.add("failed " + error.getClass().getSimpleName());
    }

    /** Says whether the socket was closed, in whatever way. */
    boolean isOver() {
      return messages.stream()
          .anyMatch(message -> message.startsWith("closed") || message.startsWith("failed"));
    }

    String next() throws InterruptedException {
      String message = messages.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS);
      assertThat(message).as("a message").isNotNull();
      return message;
    }
  }

  @Test
  void whatDoesNotListenOrAnswerIsSaidToBeTheProgramsFault() {
    Answer closed = http.get("/v1/sandboxes/" + sandbox + "/ports/9/");
    Answer junk = get("/junk");
    Answer silent = get("/silent");

    assertThat(closed.status()).isEqualTo(502);
    assertThat(closed.reason()).isEqualTo("PORT_NOT_OPEN");
    assertThat(junk.status()).isEqualTo(502);
    assertThat(junk.reason()).isEqualTo("PORT_FAILED");
    assertThat(silent.status()).isEqualTo(504);
    assertThat(silent.reason()).isEqualTo("DEADLINE_EXCEEDED");
  }

  @Test
  void aProgramMayListenOnIpv6Only() {
    PortProgram.listen(runner, sandbox, "::1", 9090);

    assertThat(http.get("/v1/sandboxes/" + sandbox + "/ports/9090/").status()).isEqualTo(200);
  }

  @Test
  void aProgramSpeaksForItsOwnPortOnly() {
    Answer byPath = get("/headers");
    AggregatedHttpResponse byHost =
        byHost("h1c", HttpMethod.GET, "/headers", "x-api-key", runner.secret());

    assertThat(byPath.response().headers().allValues("set-cookie")).isEmpty();
    assertThat(byPath.response().headers().allValues("content-security-policy"))
        .anyMatch(value -> value.startsWith("sandbox ") && !value.contains("allow-same-origin"))
        .contains("default-src 'self'");
    assertThat(byHost.headers().getAll("set-cookie")).containsExactly("own=1; Path=/");
    assertThat(byHost.headers().getAll("x-own")).containsExactly("1");
    assertThat(byHost.headers().contains("x-internal")).isFalse();
    assertThat(byHost.headers().contains("clear-site-data")).isFalse();
    assertThat(get("/redirect").header("location")).isEqualTo(path("/login"));
    assertThat(get("").header("location")).isEqualTo(path("/"));
  }

  @Test
  void aPausedOrEndedSandboxSaysSo() {
    runner.pause(sandbox);
    Answer paused = get("/");
    runner.resume(sandbox);
    Answer resumed = get("/");
    runner.terminate(sandbox);
    Answer ended = get("/");

    assertThat(paused.status()).isEqualTo(409);
    assertThat(paused.reason()).isEqualTo("SANDBOX_PAUSED");
    assertThat(resumed.status()).isEqualTo(200);
    assertThat(ended.status()).isEqualTo(409);
    assertThat(ended.reason()).isEqualTo("SANDBOX_NOT_RUNNING");
    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_NOT_RUNNING, () -> expose());
  }

  @Test
  void aSandboxThatEndsBreaksItsAnswersOff() throws Exception {
    HttpResponse<InputStream> answer = http.open(http.request(path("/begin")).GET());
    assertThat(answer.body().readNBytes(5)).asString().isEqualTo("begun");

    runner.terminate(sandbox);

    assertThatThrownBy(() -> answer.body().readAllBytes()).isInstanceOf(java.io.IOException.class);
    await().untilAsserted(() -> assertThat(open()).isZero());
  }

  @Test
  void connectionsOfASandboxAreBounded() throws Exception {
    List<HttpResponse<InputStream>> held = new ArrayList<>();
    for (int i = 0; i < MAX_CONNECTIONS; i++) {
      held.add(http.open(http.request(path("/begin")).GET()));
    }

    Answer tooMany = get("/");
    assertThat(open()).isEqualTo(MAX_CONNECTIONS);
    for (HttpResponse<InputStream> answer : held) {
      answer.body().close();
    }

    assertThat(tooMany.status()).isEqualTo(503);
    assertThat(tooMany.reason()).isEqualTo("TOO_MANY_CONNECTIONS");
    assertThat(tooMany.header("retry-after")).isEqualTo("1");
    await().untilAsserted(() -> assertThat(get("/").status()).isEqualTo(200));
  }

  @Test
  void manyRequestsOneAfterTheOtherLeaveNothingBehind() {
    for (int i = 0; i < 200; i++) {
      assertThat(get("/bytes?10").bytes()).hasSize(10);
    }
    String left =
        Caller.stdout(
            runner.shell(
                sandbox,
                "cat /proc/net/tcp | awk '$4==\"01\"' | wc -l; ls /proc | grep -c '^[0-9]'"));
    assertThat(left.lines().findFirst()).hasValue("0");
    assertThat(open()).isZero();
  }

  @Test
  void anOpenConnectionIsNoIdleness() throws Exception {
    String idle =
        runner.create(request -> request.setIdleTimeout(Durations.fromSeconds(1))).getSandboxId();
    sandbox = idle;
    PortProgram.listen(runner, idle, "127.0.0.1", 8080);
    Listener listener = new Listener();
    WebSocket socket = connect("/", listener, "x-api-key", runner.secret());
    assertThat(listener.next()).startsWith("GET /");
    String witness =
        runner.create(request -> request.setIdleTimeout(Durations.fromSeconds(1))).getSandboxId();

    await()
        .until(() -> {
          beat(socket);
          return runner.get(witness).getEndReason() == SandboxEndReason.SANDBOX_END_REASON_IDLE;
        });

    assertThat(runner.get(idle).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(listener.isOver()).isFalse();
    socket.abort();
    await()
        .until(() -> runner.get(idle).getEndReason() == SandboxEndReason.SANDBOX_END_REASON_IDLE);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/v1/sandboxes/nobody/ports/80/",
        "/v1/sandboxes/%s/ports/0/",
        "/v1/sandboxes/%s/ports/65536/"
      })
  void whatIsNoPortIsNotFound(String template) {
    assertThat(http.get(template.formatted(sandbox)).status()).isEqualTo(404);
  }

  @Test
  void headHasNoBody() {
    Answer answer =
        http.send(http.request(path("/bytes?10")).method("HEAD", BodyPublishers.noBody()));

    assertThat(answer.header("content-length")).isEqualTo("10");
    assertThat(answer.bytes()).isEmpty();
  }

  private List<AuditEvent> audited(String operation) {
    return server
        .admin()
        .audit()
        .listAuditEvents(
            ListAuditEventsRequest.newBuilder().setSandboxId(sandbox).setPageSize(1000).build())
        .getAuditEventsList()
        .stream()
        .filter(event -> event.getOperation().toLowerCase(Locale.ROOT).equals(operation))
        .toList();
  }

  private List<String> auditTexts() {
    return server
        .admin()
        .audit()
        .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1000).build())
        .getAuditEventsList()
        .stream()
        .map(AuditEvent::toString)
        .toList();
  }
}
