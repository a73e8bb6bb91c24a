package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.transport.TestCertificates;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The port with TLS. The server reads its files through the link {@code live}, which is swapped as
 * Kubernetes does it: between the folders {@code first} and {@code second}, both trusted by the
 * callers, and {@code broken}.
 */
class TlsTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Path FOLDER = prepare();
  private static final Path TRUSTED = FOLDER.resolve("trusted.pem");

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_SERVER_TLS_CERTIFICATE_FILE",
              TestCertificates.certificate(FOLDER.resolve("live")).toString(),
              "SANDKEEPER_SERVER_TLS_KEY_FILE",
              TestCertificates.key(FOLDER.resolve("live")).toString()),
          TRUSTED);

  private static Path prepare() {
    try {
      Path folder = Files.createTempDirectory("tls");
      Path first = TestCertificates.make(folder.resolve("first"));
      Path second = TestCertificates.make(folder.resolve("second"));
      TestCertificates.make(folder.resolve("stranger"));
      Files.writeString(
          folder.resolve("trusted.pem"),
          Files.readString(TestCertificates.certificate(first))
              + Files.readString(TestCertificates.certificate(second)));
      Path broken = Files.createDirectory(folder.resolve("broken"));
      Files.copy(TestCertificates.certificate(second), TestCertificates.certificate(broken));
      Files.copy(TestCertificates.key(first), TestCertificates.key(broken));
      Files.createSymbolicLink(folder.resolve("live"), first);
      return folder;
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @AfterEach
  void showFirstAgain() {
    show("first");
    awaitShown("first");
  }

  @Test
  void grpcIsSpokenByTls() {
    String sandbox = server.runner().create().getSandboxId();

    assertThat(Caller.stdout(server.runner().shell(sandbox, "echo safe"))).isEqualTo("safe\n");
  }

  @ParameterizedTest
  @EnumSource(HttpClient.Version.class)
  void httpIsSpokenByTlsOnTheSamePort(HttpClient.Version version) throws Exception {
    try (HttpClient client = https(TRUSTED, version)) {
      HttpResponse<String> health = get(client, "/health");
      HttpResponse<String> prices = get(client, "/v1/prices/standard");

      assertThat(health.version()).isEqualTo(version);
      assertThat(health.body()).contains("true");
      assertThat(prices.statusCode()).isEqualTo(200);
    }
  }

  @Test
  void clientThatTrustsAnotherCertificateIsNotServed() throws Exception {
    Path stranger = TestCertificates.certificate(FOLDER.resolve("stranger"));
    ManagedChannel channel = server.tlsChannel(stranger);
    try (HttpClient client = https(stranger, HttpClient.Version.HTTP_2)) {
      assertThatThrownBy(() -> check(channel))
          .isInstanceOfSatisfying(
              StatusRuntimeException.class,
              e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE))
          .hasStackTraceContaining("SSLHandshakeException");
      assertThatThrownBy(() -> get(client, "/health")).isInstanceOf(SSLException.class);
    } finally {
      channel.shutdownNow();
    }
  }

  @Test
  void plaintextClientThatGoesOnSendingIsStillTold() throws Exception {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
      OutputStream out = socket.getOutputStream();
      out.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      // Its answer is there, and nobody has read it yet.
      await().until(() -> socket.getInputStream().available() > 0);
      for (int i = 0; i < 100; i++) {
        out.write(new byte[10_000]);
      }

      assertThat(new String(socket.getInputStream().readAllBytes(), StandardCharsets.US_ASCII))
          .endsWith("This port speaks TLS only.\n");
    }
  }

  @Test
  void plaintextGrpcIsToldWhy() {
    ManagedChannel channel = server.plaintextChannel();
    try {
      assertThatThrownBy(() -> check(channel))
          .isInstanceOf(StatusRuntimeException.class)
          .hasMessageContaining("INADEQUATE_SECURITY")
          .hasMessageContaining("This port speaks TLS only.");
    } finally {
      channel.shutdownNow();
    }
  }

  @Test
  void plaintextHttpIsToldWhy() throws Exception {
    String answer = exchange("POST /v1/sandboxes HTTP/1.1\r\nhost: localhost\r\n\r\n");

    assertThat(answer).startsWith("HTTP/1.1 400 ").endsWith("This port speaks TLS only.\n");
  }

  @ParameterizedTest
  @ValueSource(strings = {"anything else", "\u0016\u0003\u0001\u0000\u0005hello"})
  void junkIsNotAnswered(String sent) throws Exception {
    assertThat(exchange(sent)).doesNotContain("HTTP");
  }

  @Test
  void tls11IsRefused() throws Exception {
    byte[] random = new byte[32];
    new Random(1).nextBytes(random);
    byte[] answer =
        exchange(
            HexFormat.of()
                .parseHex(
                    // A record with a ClientHello: version 1.1, a random number, no session, three
                    // cipher suites, no compression; the curves and the formats of points.
                    ("160301 0045 01 000041 0302 RANDOM 00 0006 c009 c013 002f 01 00"
                            + " 0012 000a 0004 0002 0017 000b 0002 0100 0017 0000")
                        .replace("RANDOM", HexFormat.of().formatHex(random))
                        .replace(" ", "")));

    // An alert that is fatal: protocol_version.
    assertThat(HexFormat.of().formatHex(answer)).startsWith("15").endsWith("0246");
  }

  @Test
  void renewedCertificateIsShownToNewConnectionsWhileAStreamGoesOn() throws Exception {
    String sandbox = server.runner().create().getSandboxId();
    Iterator<ExecuteResponse> stream =
        server
            .runner()
            .sandboxes()
            .execute(
                Caller.shellRequest(
                    sandbox, "echo before; until [ -e go ]; do sleep 0.05; done; echo after"));
    List<ExecutionEvent> events = new ArrayList<>();
    while (!Caller.stdout(events).equals("before\n")) {
      events.add(stream.next().getEvent());
    }

    show("second");
    awaitShown("second");
    ManagedChannel channel =
        server.tlsChannel(TestCertificates.certificate(FOLDER.resolve("second")));
    try {
      new Caller(channel, server.runner().secret()).shell(sandbox, "touch go");
    } finally {
      channel.shutdownNow();
    }
    events.addAll(Caller.events(stream));

    assertThat(Caller.stdout(events)).isEqualTo("before\nafter\n");
    assertThat(Caller.finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
  }

  @Test
  void brokenPairChangesNothingAndIsCounted() throws Exception {
    try (HttpClient client = https(TRUSTED, HttpClient.Version.HTTP_1_1)) {
      assertThat(get(client, "/metrics").body())
          .containsPattern("(?m)^sandkeeper_certificate_expiry_seconds\\S* 3\\.15");

      show("broken");
      await()
          .atMost(PATIENCE)
          .untilAsserted(() ->
              assertThat(get(client, "/metrics").body())
                  .containsPattern(
                      "(?m)^sandkeeper_certificate_reload_total\\{.*success=\"false\".*} [1-9]"));
    }
    assertThat(shown()).isEqualTo(certificate("first"));
  }

  private static void show(String name) {
    try {
      Path next = FOLDER.resolve("next");
      Files.createSymbolicLink(next, FOLDER.resolve(name));
      Files.move(next, FOLDER.resolve("live"), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void awaitShown(String name) {
    await().atMost(PATIENCE).until(() -> shown().equals(certificate(name)));
  }

  /** Returns the certificate that a new connection is shown. */
  private static Certificate shown() throws Exception {
    SSLContext context = TestCertificates.trusting(TRUSTED);
    try (SSLSocket socket =
        (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", server.port())) {
      socket.startHandshake();
      return socket.getSession().getPeerCertificates()[0];
    }
  }

  private static Certificate certificate(String name) throws Exception {
    try (var input = Files.newInputStream(TestCertificates.certificate(FOLDER.resolve(name)))) {
      return CertificateFactory.getInstance("X.509").generateCertificate(input);
    }
  }

  private static void check(ManagedChannel channel) {
    var _ =
        HealthGrpc.newBlockingStub(channel)
            .withDeadlineAfter(PATIENCE.toSeconds(), TimeUnit.SECONDS)
            .check(HealthCheckRequest.getDefaultInstance());
  }

  private static HttpClient https(Path trusted, HttpClient.Version version) throws Exception {
    return HttpClient.newBuilder()
        .version(version)
        .sslContext(TestCertificates.trusting(trusted))
        .build();
  }

  private static HttpResponse<String> get(HttpClient client, String path) throws Exception {
    return client.send(
        HttpRequest.newBuilder(URI.create("https://127.0.0.1:" + server.port() + path))
            .header("authorization", "Bearer " + server.admin().secret())
            .timeout(PATIENCE)
            .build(),
        HttpResponse.BodyHandlers.ofString());
  }

  private static String exchange(String sent) throws IOException {
    return new String(
        exchange(sent.getBytes(StandardCharsets.ISO_8859_1)), StandardCharsets.ISO_8859_1);
  }

  /** Sends bytes and returns what comes until the server closes, which it must do soon. */
  private static byte[] exchange(byte[] sent) throws IOException {
    ByteArrayOutputStream answer = new ByteArrayOutputStream();
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
      socket.setSoTimeout(5000);
      socket.getOutputStream().write(sent);
      socket.getInputStream().transferTo(answer);
    } catch (SocketException e) {
      // Closed with something unread: as good an end.
    }
    return answer.toByteArray();
  }
}
