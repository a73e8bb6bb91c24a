package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.io.DataInputStream;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

// Goal: the agent reaches the engine's sockets over E2B's protocol, and does so again after every
// failure. Method: the peer with its faults, the real agent, and sockets of the test's.
@Timeout(120)
final class E2bLinkTest {
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final int HELLO = 1;

  @TempDir private Path folder;
  private LinkFixture fixture;

  @BeforeEach
  void start() throws IOException {
    fixture = new LinkFixture(folder);
  }

  @AfterEach
  void close() throws IOException {
    fixture.close();
  }

  private static SocketChannel accept(ServerSocketChannel listener) {
    return assertTimeoutPreemptively(PATIENCE, () -> listener.accept());
  }

  /** Reads the words of the agent's first frame. */
  private static String hello(SocketChannel channel) {
    return assertTimeoutPreemptively(
        PATIENCE,
        () -> {
          DataInputStream in = new DataInputStream(Channels.newInputStream(channel));
          int size = in.readInt();
          assertThat(in.readByte()).isEqualTo((byte) HELLO);
          assertThat(in.readLong()).isZero();
          StringBuilder words = new StringBuilder();
          for (int read = 0; read < size; ) {
            byte[] word = new byte[in.readInt()];
            in.readFully(word);
            words.append(new String(word, UTF_8)).append(' ');
            read += 4 + word.length;
          }
          return words.toString().strip();
        });
  }

  @Test
  void theAgentReachesTheEngine() {
    fixture.startAgent();
    E2bLink link = fixture.startLink();

    assertThat(hello(accept(fixture.engine))).isEqualTo("3 control");
    assertThat(link.connected()).isTrue();
    assertThat(fixture.agent.log(fixture.envd)).isEmpty();
    assertThat(fixture.envd.list())
        .extracting(Envd.RunningProcess::tag)
        .containsExactlyInAnyOrder("sandkeeper-agent", "sandkeeper-link");
    assertThat(fixture.peer.violations()).isEmpty();
  }

  @Test
  void theAgentIsStartedOnceByThreeCalls() {
    fixture.startAgent();
    assertThat(fixture.peer.requests()).hasSize(3);
    fixture.startAgent();

    assertThat(fixture.envd.list())
        .extracting(Envd.RunningProcess::tag)
        .containsExactly("sandkeeper-agent");
  }

  @Test
  void theAgentDialsAgainWhenTheLinkIsCut() {
    fixture.startAgent();
    E2bLink link = fixture.startLink();
    SocketChannel first = accept(fixture.engine);
    assertThat(hello(first)).isEqualTo("3 control");

    fixture.peer.fault("cut_now", "/process.Process/Start");

    assertThat(hello(accept(fixture.engine))).isEqualTo("3 control");
    assertThat(assertTimeoutPreemptively(PATIENCE, () -> read(first))).isEqualTo(-1);
    Awaitility.await().until(link::connected);
    assertThat(fixture.envd.list()).hasSize(2);
  }

  private static int read(SocketChannel channel) throws IOException {
    return Channels.newInputStream(channel).read();
  }

  @Test
  void aLinkWithoutASignOfLifeIsMadeAgain() {
    fixture.startAgent();
    fixture.peer.fault("stall", "/process.Process/Start", "ms", 600_000, "frames", 2);
    E2bLink link = fixture.startLink();

    assertThat(hello(accept(fixture.engine))).isEqualTo("3 control");
    Awaitility.await().until(link::connected);
    assertThat(fixture.peer.requests().stream().filter(r -> r.path().endsWith("/Start")).count())
        .isEqualTo(3);
  }

  @Test
  void aLinkIsMadeAgainLongBeforeE2bSaysInDays() {
    fixture.startAgent();
    Map<String, String> inDays = Map.of("Retry-After", "999999");
    fixture.peer.fault("status", "/process.Process/Start", "status", 429, "headers", inDays);

    E2bLink link = fixture.startLink();

    assertThat(hello(accept(fixture.engine))).isEqualTo("3 control");
    Awaitility.await().until(link::connected);
  }

  @Test
  void theEndOfTheSandboxIsTold() throws Exception {
    fixture.startAgent();
    E2bLink link = fixture.startLink();
    hello(accept(fixture.engine));

    fixture.peer.kill(fixture.session.sandboxId());

    E2bException gone = fixture.gone.poll(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    assertThat(gone).isNotNull();
    assertThat(gone.kind()).isEqualTo(E2bException.Kind.GONE);
    assertThat(link.connected()).isFalse();
  }

  @Test
  void aSecondServerTakesTheLinkOver() {
    fixture.startAgent();
    fixture.startLink();
    hello(accept(fixture.engine));

    E2bLink other = fixture.startLink();
    try {
      assertThat(hello(accept(fixture.engine))).isEqualTo("3 control");
    } finally {
      other.close();
    }
  }

  @Test
  void closingEndsTheRelay() {
    fixture.startAgent();
    E2bLink link = fixture.startLink();
    hello(accept(fixture.engine));

    link.close();

    Awaitility.await()
        .atMost(PATIENCE)
        .untilAsserted(() ->
            assertThat(fixture.envd.list())
                .extracting(Envd.RunningProcess::tag)
                .containsExactly("sandkeeper-agent"));
    assertThat(fixture.gone).isEmpty();
  }
}
