package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpResponseWriter;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.server.Server;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: what stands on the wire to the daemon, and that a stream is told whole or told broken.
@Timeout(40)
final class EnvdTest {
  private static final Envd.Command COMMAND =
      new Envd.Command("/bin/sh", List.of("-c", "x"), Map.of("A", "b"));
  private static final Session SESSION = session(Optional.empty());
  private static final List<String> EVENTS =
      List.of(
          "{\"event\":{\"start\":{\"pid\":7}}}",
          "{\"event\":{\"keepalive\":{}}}",
          "{\"event\":{\"data\":{\"stdout\":\"aGVsbG8=\"}}}",
          "{\"event\":{\"data\":{\"stderr\":\"b2g=\"}}}",
          "{\"event\":{\"new\":{\"x\":1}}}",
          "{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}");
  private static final List<String> SEEN =
      List.of("pid 7", "-", "out hello", "err oh", "-", "end 0 exit status 0");

  private final HttpCalls http = new HttpCalls(Duration.ofSeconds(2));

  private static Session session(Optional<String> domain) {
    return new Session(
        "i1", "t1", "0.6.13", Optional.of("the-token"), Optional.empty(), domain, false);
  }

  private static E2bSettings settings(Optional<URI> sandboxUrl, Duration request) {
    E2bSettings.Calls calls =
        new E2bSettings.Calls(
            Duration.ofSeconds(2),
            request,
            Duration.ofSeconds(10),
            3,
            Duration.ofMillis(10),
            Duration.ofMillis(40));
    return new E2bSettings(
        URI.create("https://api.example.org"),
        "example.org",
        sandboxUrl,
        calls,
        E2bSettings.LinkTimes.DEFAULT);
  }

  private Envd envd(StubServer server) {
    return new Envd(settings(Optional.of(server.uri()), Duration.ofSeconds(5)), http, SESSION);
  }

  private static byte[] stream(List<String> messages, String end) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    messages.forEach(message -> all.writeBytes(ConnectDecoder.envelope(message.getBytes(UTF_8))));
    byte[] last = ConnectDecoder.envelope(end.getBytes(UTF_8));
    last[0] = 2;
    all.writeBytes(last);
    return all.toByteArray();
  }

  private static void writeHead(OutputStream out) throws IOException {
    out.write(
        String.join(
                "\r\n",
                "HTTP/1.1 200 OK",
                "Content-Type: application/connect+json",
                "Transfer-Encoding: chunked",
                "Connection: close",
                "",
                "")
            .getBytes(UTF_8));
  }

  private static void writeChunk(OutputStream out, byte[] bytes) throws IOException {
    if (bytes.length > 0) {
      out.write((Integer.toHexString(bytes.length) + "\r\n").getBytes(UTF_8));
      out.write(bytes);
      out.write("\r\n".getBytes(UTF_8));
      out.flush();
    }
  }

  private static List<String> drain(ProcessStream stream, List<String> seen) {
    try (stream) {
      for (Optional<ProcessEvent> event = stream.next(); event.isPresent(); event = stream.next()) {
        seen.add(
            switch (event.get()) {
              case ProcessEvent.Started(long pid) -> "pid " + pid;
              case ProcessEvent.Stdout(var data) -> "out " + UTF_8.decode(data);
              case ProcessEvent.Stderr(var data) -> "err " + UTF_8.decode(data);
              case ProcessEvent.Ended(int code, String status) -> "end " + code + " " + status;
              case ProcessEvent.Silence() -> "-";
            });
      }
    }
    return seen;
  }

  private static E2bException failure(ThrowingCallable call) {
    E2bException failure = catchThrowableOfType(E2bException.class, call);
    assertThat(failure).isNotNull();
    return failure;
  }

  @AfterEach
  void close() {
    http.close();
  }

  @Test
  void theAddressFollowsTheRules() {
    Duration any = Duration.ofSeconds(1);
    URI own = URI.create("http://127.0.0.1:9/prefix");
    assertThat(Envd.baseUrl(settings(Optional.of(own), any), SESSION)).isEqualTo(own);
    assertThat(Envd.baseUrl(settings(Optional.empty(), any), SESSION))
        .isEqualTo(URI.create("https://49983-i1.example.org"));
    assertThat(Envd.baseUrl(settings(Optional.empty(), any), session(Optional.of("e2b.app"))))
        .isEqualTo(URI.create("https://sandbox.e2b.app"));
  }

  @Test
  void startSendsAllThatTheDaemonNeeds() throws Exception {
    try (StubServer server =
        new StubServer((_, out) -> {
          writeHead(out);
          writeChunk(out, stream(EVENTS, "{}"));
          out.write("0\r\n\r\n".getBytes(UTF_8));
        })) {
      List<String> seen =
          drain(envd(server).start(COMMAND, "root", "the-tag", true), new ArrayList<>());

      assertThat(seen).isEqualTo(SEEN);
      StubServer.Request request = server.requests().getFirst();
      assertThat(request.method() + " " + request.target())
          .isEqualTo("POST /process.Process/Start");
      assertThat(request.headers())
          .containsEntry("content-type", "application/connect+json")
          .containsEntry("connect-protocol-version", "1")
          .containsEntry("keepalive-ping-interval", "50")
          .containsEntry("authorization", "Basic cm9vdDo=")
          .containsEntry("x-access-token", "the-token")
          .containsEntry("e2b-sandbox-id", "i1")
          .containsEntry("e2b-sandbox-port", "49983")
          .doesNotContainKey("connect-timeout-ms");
      byte[] body = request.body();
      assertThat(Arrays.copyOf(body, 5)).containsExactly(0, 0, 0, 0, body.length - 5);
      assertThat(Json.parse(Arrays.copyOfRange(body, 5, body.length)))
          .isEqualTo(
              Json.parse(
                  """
                  {"process":{"cmd":"/bin/sh","args":["-c","x"],"envs":{"A":"b"},"cwd":"/"},
                   "tag":"the-tag","stdin":true}
                  """
                      .getBytes(UTF_8)));
    }
  }

  @Test
  void unaryCallsAreAsDocumented() throws Exception {
    String list =
        "{\"processes\":[{\"config\":{\"cmd\":\"x\"},\"pid\":7,\"tag\":\"t\"},{\"pid\":8}]}";
    try (StubServer server =
        new StubServer((request, out) ->
            out.write(StubServer.answer(200, request.target().endsWith("List") ? list : "{}")))) {
      Envd envd = envd(server);

      assertThat(envd.list())
          .containsExactly(new Envd.RunningProcess(7, "t"), new Envd.RunningProcess(8, ""));
      envd.sendInput(7, "hello".getBytes(UTF_8));
      assertThat(envd.sendSignal(7, Envd.Signal.SIGKILL)).isTrue();

      assertThat(server.requests())
          .extracting(request -> request.target() + " " + request.text())
          .containsExactly(
              "/process.Process/List {}",
              "/process.Process/SendInput"
                  + " {\"process\":{\"pid\":7},\"input\":{\"stdin\":\"aGVsbG8=\"}}",
              "/process.Process/SendSignal"
                  + " {\"process\":{\"pid\":7},\"signal\":\"SIGNAL_SIGKILL\"}");
      assertThat(server.requests())
          .allSatisfy(request ->
              assertThat(request.headers())
                  .containsEntry("content-type", "application/json")
                  .containsEntry("x-access-token", "the-token"));
    }
  }

  @Test
  void aStreamMayEndWithAnError() throws Exception {
    try (StubServer server =
        new StubServer((_, out) -> {
          writeHead(out);
          writeChunk(out, stream(List.of(), "{\"error\":{\"code\":\"not_found\"}}"));
          out.write("0\r\n\r\n".getBytes(UTF_8));
        })) {
      ProcessStream stream = envd(server).start(COMMAND, "root", "t", false);

      assertThat(failure(stream::next).kind()).isEqualTo(E2bException.Kind.NOT_FOUND);
    }
  }

  @Test
  void uploadSendsOneFile() throws Exception {
    try (StubServer server =
        new StubServer((_, out) -> out.write(StubServer.answer(200, "[{\"path\":\"/a b\"}]")))) {
      byte[] content = {0, 1, 2, '\r', '\n', -1};

      envd(server).upload("/a b", "root", content);

      StubServer.Request request = server.requests().getFirst();
      assertThat(request.target()).isEqualTo("/files?path=%2Fa+b&username=root");
      assertThat(request.headers()).containsEntry("x-access-token", "the-token");
      String type = request.headers().get("content-type");
      assertThat(type).startsWith("multipart/form-data; boundary=");
      String body = new String(request.body(), ISO_8859_1);
      assertThat(body)
          .containsIgnoringCase("form-data; name=\"file\"; filename=\"file\"")
          .contains("\r\n\r\n" + new String(content, ISO_8859_1) + "\r\n--");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "502, '{\"sandboxId\":\"i1\",\"message\":\"The sandbox was not found\",\"code\":502}', GONE",
    "502, '{\"message\":\"The sandbox is running but port is not open\",\"code\":502}',"
        + " UNAVAILABLE",
    "502, '<html>', UNAVAILABLE",
    "404, '{\"code\":\"not_found\",\"message\":\"no process\"}', NOT_FOUND",
    "404, '{\"code\":404,\"message\":\"no\"}', GONE",
    "401, '{\"code\":401,\"message\":\"bad the-token\"}', UNAUTHENTICATED",
    "429, '{\"code\":429,\"message\":\"too many connections\"}', RATE_LIMITED",
    "409, '{\"message\":\"The sandbox is still transitioning.\"}', CONFLICT",
    "400, 'Invalid host', REFUSED",
    "500, '{\"code\":\"internal\",\"message\":\"x\"}', UNAVAILABLE",
    "503, '', UNAVAILABLE"
  })
  void refusalsAreToldApart(int status, String body, E2bException.Kind kind) throws Exception {
    try (StubServer server =
        new StubServer((_, out) -> out.write(StubServer.answer(status, body)))) {
      Envd envd = envd(server);

      E2bException start = failure(() -> envd.start(COMMAND, "root", "t", true));
      List<E2bException> others =
          List.of(
              failure(() -> envd.sendInput(7, new byte[1])),
              failure(() -> envd.upload("/a", "root", new byte[1])),
              failure(envd::list));

      assertThat(start.kind()).isEqualTo(kind);
      assertThat(others).extracting(E2bException::kind).containsOnly(kind);
      assertThat(start.status()).isEqualTo(status);
      assertThat(start).hasMessageStartingWith("Process/Start: " + status);
      assertThat(start.getMessage()).doesNotContain("the-token");
      assertThat(server.requests()).hasSize(4);
    }
  }

  // Everywhere: at the borders of messages, within them, and before the end.
  @Test
  void aStreamThatIsCutIsBroken() throws Exception {
    byte[] whole = stream(EVENTS, "{}");
    AtomicLong cut = new AtomicLong();
    try (StubServer server =
        new StubServer((_, out) -> {
          writeHead(out);
          int at = cut.intValue();
          writeChunk(out, Arrays.copyOf(whole, at / 2));
          writeChunk(out, Arrays.copyOfRange(whole, at / 2, at));
          if (at % 2 == 0) {
            // The HTTP stream is whole, what it holds is not.
            out.write("0\r\n\r\n".getBytes(UTF_8));
          }
        })) {
      for (int at = 0; at < whole.length; at++) {
        cut.set(at);
        List<String> seen = new ArrayList<>();
        ProcessStream stream = envd(server).start(COMMAND, "root", "t", false);

        assertThat(failure(() -> drain(stream, seen)).kind())
            .as("cut at %d", at)
            .isEqualTo(E2bException.Kind.BROKEN);
        assertThat(seen).isEqualTo(SEEN.subList(0, seen.size()));
      }
    }
  }

  @Test
  void aSilentDaemonEndsWithTheCallsTime() throws Exception {
    try (StubServer server = new StubServer(StubServer.Handler.SILENT)) {
      Envd envd =
          new Envd(settings(Optional.of(server.uri()), Duration.ofMillis(300)), http, SESSION);

      assertThat(failure(() -> envd.start(COMMAND, "root", "t", true)))
          .hasMessage("Process/Start: no answer in time");
      assertThat(failure(() -> envd.sendInput(1, new byte[1])))
          .hasMessage("Process/SendInput: no answer in time");
    }
  }

  @Test
  void aStalledStreamHoldsUpNoOtherAndIsNotKeptInMemory() throws Exception {
    String output = Base64.getEncoder().encodeToString(new byte[32 * 1024]);
    byte[] message =
        ConnectDecoder.envelope(
            ("{\"event\":{\"data\":{\"stdout\":\"" + output + "\"}}}").getBytes(UTF_8));
    AtomicLong sent = new AtomicLong();
    Server server =
        Server.builder()
            .https(0)
            .tlsSelfSigned()
            .requestTimeoutMillis(0)
            .service(
                "/process.Process/Start",
                (context, request) -> {
                  HttpResponseWriter writer = HttpResponse.streaming();
                  writer.write(
                      ResponseHeaders.builder(HttpStatus.OK)
                          .contentType(MediaType.parse("application/connect+json"))
                          .build());
                  flood(writer, message, sent);
                  return writer;
                })
            .service(
                "/process.Process/SendInput", (context, request) -> HttpResponse.ofJson(Map.of()))
            .build();
    server.start().join();
    try (HttpCalls calls =
        new HttpCalls(
            Duration.ofSeconds(5), tls -> tls.trustManager(InsecureTrustManagerFactory.INSTANCE))) {
      URI uri = URI.create("https://127.0.0.1:" + server.activeLocalPort());
      Envd envd = new Envd(settings(Optional.of(uri), Duration.ofSeconds(10)), calls, SESSION);
      List<ProcessStream> stalled = new ArrayList<>();
      for (int i = 0; i < 10; i++) {
        stalled.add(envd.start(COMMAND, "root", "t", true));
      }
      AtomicLong before = new AtomicLong(-1);
      Awaitility.await()
          .atMost(Duration.ofSeconds(20))
          .until(() -> before.getAndSet(sent.get()) == sent.get() && sent.get() > 0);

      assertThat(sent.get()).isLessThan(10 * 1024 * 1024);
      ProcessStream read = envd.start(COMMAND, "root", "t", true);
      for (int i = 0; i < 1000; i++) {
        assertThat(read.next()).isPresent();
      }
      envd.sendInput(1, new byte[1]);
      read.close();
      stalled.forEach(ProcessStream::close);
    } finally {
      server.stop().join();
    }
  }

  private static void flood(HttpResponseWriter writer, byte[] message, AtomicLong sent) {
    var _ =
        writer
            .whenConsumed()
            .thenRun(() -> {
              if (writer.tryWrite(HttpData.wrap(message))) {
                sent.addAndGet(message.length);
                flood(writer, message, sent);
              }
            });
  }
}
