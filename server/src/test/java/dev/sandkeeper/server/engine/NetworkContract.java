package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.egress.proxy.Origin;
import dev.sandkeeper.server.egress.proxy.ProxyFixture;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Ports of sandboxes, and their way out. */
interface NetworkContract extends EngineUnderTest {

  /** More than what is on the way at once. */
  String BODY = "0123456789abcdef".repeat(100_000);

  @Test
  default void aPortIsReached() throws Exception {
    EngineSandbox sandbox = create();
    Recording server =
        Requests.startBash(
            sandbox,
            "python3 -u -c '"
                + "import socket; s = socket.create_server((\"127.0.0.1\", 8123)); print(\"up\"); "
                + "c, _ = s.accept(); c.sendall(c.recv(100).upper())'");
    await().until(() -> server.stdout().startsWith("up"));

    try (EngineConnection connection = sandbox.connect(8123)) {
      connection.write(ByteBuffer.wrap("hello".getBytes(StandardCharsets.UTF_8)));
      ByteBuffer answer = ByteBuffer.allocate(100);
      int count = connection.read(answer);

      assertThat(new String(answer.array(), 0, count, StandardCharsets.UTF_8)).isEqualTo("HELLO");
      assertThat(connection.read(answer)).isEqualTo(-1);
    }
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> sandbox.connect(8124))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.PORT_CLOSED));
  }

  @Test
  default void aPortCarriesManyBytesBothWaysUntilEachEnds() throws Exception {
    EngineSandbox sandbox = create();
    Recording server =
        Requests.startBash(
            sandbox,
            "python3 -u -c '"
                + "import socket; s = socket.create_server((\"::1\", 8123), family=10); "
                + "print(\"up\"); c, _ = s.accept(); got = 0\n"
                + "while b := c.recv(65536): got += len(b)\n"
                + "c.sendall(b\"x\" * got)'");
    await().until(() -> server.stdout().startsWith("up"));

    try (EngineConnection connection = sandbox.connect(8123)) {
      connection.write(ByteBuffer.wrap(BODY.getBytes(StandardCharsets.UTF_8)));
      connection.endOutput();
      long received = 0;
      ByteBuffer part = ByteBuffer.allocate(65_536);
      for (int count = connection.read(part); count >= 0; count = connection.read(part.clear())) {
        received += count;
      }

      assertThat(received).isEqualTo(BODY.length());
    }
  }

  @Test
  default void whatThePolicyAllowsIsReachedThroughTheServerAndNothingDirectly() throws Exception {
    try (ProxyFixture proxy = new ProxyFixture(100);
        Origin origin = new Origin()) {
      origin.answers("HTTP/1.1 200 OK\r\n\r\n" + BODY);
      proxy.names.put("api.example.com", List.of(Origin.ADDRESS));
      EngineSandbox sandbox = engine().create(Requests.online(spec(Duration.ofMinutes(5))));
      sandbox.openNetwork(
          proxy.open(ProxyFixture.policy(1L << 30, 64, origin.port(), "api.example.com")));

      String url = "http://api.example.com:" + origin.port() + "/";
      Recording allowed = Requests.run(sandbox, Requests.bash("curl -sS " + url + " | wc -c"));
      Recording refused =
          Requests.run(
              sandbox, Requests.bash("curl -s -w ' %{http_code}' " + url.replace("api.", "bad.")));
      Recording direct = Requests.run(sandbox, Requests.python(direct(origin.port())));

      assertThat(allowed.stdout().strip()).isEqualTo("" + BODY.length());
      assertThat(refused.stdout()).startsWith("HOST_NOT_ALLOWED: ").endsWith(" 403");
      assertThat(direct.stdout()).startsWith("gaierror OSError ");
      unless(
          Difference.NO_ROUTE_IS_NO_HOST,
          () -> assertThat(direct.stdout()).isEqualTo("gaierror OSError 101\n"));
      assertThat(proxy.audited()).hasSize(2);
    }
  }

  private static String direct(int port) {
    return """
    import socket
    def tried(host, port):
        try:
            socket.create_connection((host, port), 2)
            return 'reached', 0
        except OSError as e:
            return type(e).__name__, e.errno
    print(tried('api.example.com', %d)[0], *tried('192.0.2.1', 80))
    """
        .formatted(port);
  }
}
