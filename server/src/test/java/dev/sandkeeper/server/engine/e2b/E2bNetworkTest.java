package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.egress.proxy.Origin;
import dev.sandkeeper.server.egress.proxy.ProxyFixture;
import dev.sandkeeper.server.engine.EngineConnection;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Requests;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What goes into and out of sandboxes at E2B beside executions: all over the one link. */
@Timeout(60)
class E2bNetworkTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final String BODY = "0123456789abcdef".repeat(100_000);

  @TempDir private Path stateFolder;
  private Peer peer;
  private E2bEngine engine;

  @BeforeEach
  void begin() {
    peer = Peer.start();
    engine = E2bFixture.open(peer, stateFolder);
  }

  @AfterEach
  void end() {
    engine.list().forEach(found -> engine.destroy(found.sandboxId()));
    engine.close();
    peer.close();
  }

  @Test
  void whatThePolicyAllowsIsReachedThroughTheServer() throws Exception {
    try (ProxyFixture proxy = new ProxyFixture(100);
        Origin origin = new Origin()) {
      origin.answers("HTTP/1.1 200 OK\r\n\r\n" + BODY);
      proxy.names.put("api.example.com", List.of(Origin.ADDRESS));
      EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG, true));
      sandbox.openNetwork(
          proxy.open(ProxyFixture.policy(1L << 30, 64, origin.port(), "api.example.com")));

      String url = "http://api.example.com:" + origin.port() + "/";
      Recording allowed = Requests.run(sandbox, Requests.bash("curl -sS " + url + " | wc -c"));
      Recording refused =
          Requests.run(
              sandbox, Requests.bash("curl -s -w ' %{http_code}' " + url.replace("api.", "bad.")));

      assertThat(allowed.stdout().strip()).isEqualTo("" + BODY.length());
      assertThat(refused.stdout()).startsWith("HOST_NOT_ALLOWED: ").endsWith(" 403");
      assertThat(proxy.audited()).hasSize(2);
    }
  }

  @Test
  void aPortIsReached() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
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
}
