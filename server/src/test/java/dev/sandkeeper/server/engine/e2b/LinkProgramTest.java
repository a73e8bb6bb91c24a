package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import dev.sandkeeper.server.engine.e2b.LinkFrame.Kind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

// Goal: the sandbox's end of a link, as a process, with real sockets and pipes.
@Timeout(120)
final class LinkProgramTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @TempDir private Path folder;

  private final List<Relay> relays = new ArrayList<>();

  /** One process, and the engine's end of its link. */
  private static final class Relay {
    private final Process process;
    private final LinkFrame.Packer packer = new LinkFrame.Packer();
    private final LinkFrame.Unpacker unpacker = new LinkFrame.Unpacker();

    Relay(Path program, Path folder, Duration silence) throws IOException {
      Object uid = Files.getAttribute(folder, "unix:uid");
      process =
          new ProcessBuilder(
                  "python3",
                  "-I",
                  "-S",
                  program.toString(),
                  folder.toString(),
                  uid.toString(),
                  Long.toString(silence.toMillis()))
              .start();
    }

    byte[] pack(Kind kind, int connection, byte[] payload) {
      return packer.pack(kind, connection, ByteBuffer.wrap(payload));
    }

    void write(byte[] bytes) throws IOException {
      process.getOutputStream().write(bytes);
      process.getOutputStream().flush();
    }

    void send(Kind kind, int connection, byte[] payload) throws IOException {
      write(pack(kind, connection, payload));
    }

    LinkFrame next() {
      return assertTimeoutPreemptively(PATIENCE, this::awaitFrame);
    }

    private LinkFrame awaitFrame() throws Exception {
      byte[] bytes = new byte[64 * 1024];
      while (true) {
        Optional<LinkFrame> frame = unpacker.next();
        if (frame.isPresent()) {
          return frame.get();
        }
        int count = process.getInputStream().read(bytes);
        if (count < 0) {
          throw new IOException("the relay ended: " + error());
        }
        unpacker.add(ByteBuffer.wrap(bytes, 0, count));
      }
    }

    String error() throws IOException {
      return new String(process.getErrorStream().readAllBytes(), UTF_8).strip();
    }

    String awaitEnd() throws Exception {
      assertThat(process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
      return error();
    }
  }

  private Path program;

  @BeforeEach
  void putInPlace() throws IOException {
    program = folder.resolve("sandkeeper_link.py");
    try (var resource = E2bAgent.class.getResourceAsStream("sandkeeper_link.py")) {
      Files.write(program, resource.readAllBytes());
    }
  }

  @AfterEach
  void end() {
    relays.forEach(relay -> relay.process.destroyForcibly());
  }

  private Relay relay() throws IOException {
    return relay(Duration.ofSeconds(60));
  }

  private Relay relay(Duration silence) throws IOException {
    Relay relay = new Relay(program, folder, silence);
    relays.add(relay);
    LinkFrame hello = relay.next();
    assertThat(hello.kind()).isEqualTo(Kind.HELLO);
    assertThat(text(hello)).isEqualTo("1");
    return relay;
  }

  private SocketChannel dial(String name) throws IOException {
    SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
    channel.connect(UnixDomainSocketAddress.of(folder.resolve(name)));
    return channel;
  }

  private static void write(SocketChannel channel, byte[] bytes) throws IOException {
    ByteBuffer buffer = ByteBuffer.wrap(bytes);
    while (buffer.hasRemaining()) {
      channel.write(buffer);
    }
  }

  /** Reads so many bytes, or fewer at the end. */
  private static byte[] read(SocketChannel channel, int count) {
    return assertTimeoutPreemptively(
        PATIENCE,
        () -> {
          ByteBuffer buffer = ByteBuffer.allocate(count);
          while (buffer.hasRemaining() && channel.read(buffer) >= 0) {
            Thread.onSpinWait();
          }
          byte[] bytes = new byte[buffer.flip().remaining()];
          buffer.get(bytes);
          return bytes;
        });
  }

  private static String text(LinkFrame frame) {
    return UTF_8.decode(frame.payload()).toString();
  }

  private static byte[] random(int count) {
    byte[] bytes = new byte[count];
    new Random(7).nextBytes(bytes);
    return bytes;
  }

  /** Reads what comes of connection 1 until so many bytes are there. */
  private static byte[] data(Relay relay, int connection, int count) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    while (all.size() < count) {
      LinkFrame frame = relay.next();
      assertThat(frame.kind()).isEqualTo(Kind.DATA);
      assertThat(frame.connection()).isEqualTo(connection);
      byte[] bytes = new byte[frame.payload().remaining()];
      frame.payload().get(bytes);
      all.writeBytes(bytes);
    }
    return all.toByteArray();
  }

  private static byte[] credit(int count) {
    return ByteBuffer.allocate(4).putInt(count).array();
  }

  @Test
  void bothSocketsAreCarriedBothWays() throws Exception {
    Relay relay = relay();
    try (SocketChannel engine = dial("engine.sock");
        SocketChannel egress = dial("egress.sock")) {
      LinkFrame first = relay.next();
      LinkFrame second = relay.next();
      assertThat(List.of(first.kind(), second.kind())).containsOnly(Kind.OPEN);
      assertThat(List.of(first.connection(), second.connection())).containsExactly(1, 2);
      assertThat(List.of(text(first), text(second))).containsExactly("engine", "egress");

      write(engine, "up".getBytes(UTF_8));
      assertThat(data(relay, 1, 2)).isEqualTo("up".getBytes(UTF_8));
      relay.send(Kind.DATA, 2, "down".getBytes(UTF_8));
      assertThat(read(egress, 4)).isEqualTo("down".getBytes(UTF_8));
    }
    // Closed for both ways: nothing sent to them is heard any more.
    assertThat(List.of(relay.next().kind(), relay.next().kind())).containsOnly(Kind.RESET);
  }

  @Test
  void onlyTheUserCanOpenTheSockets() throws Exception {
    relay();
    for (String name : List.of("engine.sock", "egress.sock")) {
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve(name))))
          .isEqualTo("rw-------");
    }
  }

  @Test
  void whatAnAgentSaidBeforeItWentIsHeard() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      write(agent, "said".getBytes(UTF_8));
    }
    relay.send(Kind.DATA, 1, new byte[1]);
    relay.send(Kind.DATA, 1, new byte[1]);

    assertThat(data(relay, 1, 4)).isEqualTo("said".getBytes(UTF_8));
    assertThat(relay.next().kind()).isEqualTo(Kind.RESET);
  }

  @Test
  void eachWayEndsByItself() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      relay.send(Kind.DATA, 1, "last".getBytes(UTF_8));
      relay.send(Kind.END, 1, new byte[0]);
      assertThat(read(agent, 5)).isEqualTo("last".getBytes(UTF_8));
      write(agent, "more".getBytes(UTF_8));
      assertThat(data(relay, 1, 4)).isEqualTo("more".getBytes(UTF_8));
      agent.shutdownOutput();
      assertThat(relay.next().kind()).isEqualTo(Kind.END);
    }
  }

  @Test
  void aResetEndsAConnectionOnly() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock");
        SocketChannel other = dial("engine.sock")) {
      relay.next();
      relay.next();
      relay.send(Kind.RESET, 1, new byte[0]);
      assertThat(read(agent, 1)).isEmpty();
      // What was under way.
      relay.send(Kind.DATA, 1, new byte[1]);
      relay.send(Kind.WINDOW, 1, credit(1));
      relay.send(Kind.DATA, 2, "x".getBytes(UTF_8));
      assertThat(read(other, 1)).isEqualTo("x".getBytes(UTF_8));
    }
  }

  // The engine gives no credit for the first connection, and the agent does not read of the second.
  @Test
  void aSlowConnectionStallsNoOther() throws Exception {
    Relay relay = relay();
    byte[] much = random(3 * LinkFrame.WINDOW_BYTES);
    try (SocketChannel unread = dial("engine.sock");
        SocketChannel unreading = dial("engine.sock");
        SocketChannel other = dial("engine.sock")) {
      for (int i = 0; i < 3; i++) {
        assertThat(relay.next().kind()).isEqualTo(Kind.OPEN);
      }
      Thread writer = Thread.ofVirtual().start(() -> writeQuietly(unread, much));
      byte[] seen = data(relay, 1, LinkFrame.WINDOW_BYTES);
      assertThat(seen).isEqualTo(Arrays.copyOf(much, LinkFrame.WINDOW_BYTES));
      for (int sent = 0; sent < LinkFrame.WINDOW_BYTES; sent += 32 * 1024) {
        relay.send(Kind.DATA, 2, new byte[32 * 1024]);
      }

      for (int i = 0; i < 50; i++) {
        write(other, new byte[] {(byte) i});
        LinkFrame frame = relay.next();
        // What the kernel holds of the second connection is taken from the relay's point of view.
        while (frame.connection() == 2) {
          assertThat(frame.kind()).isEqualTo(Kind.WINDOW);
          frame = relay.next();
        }
        assertThat(frame.connection()).isEqualTo(3);
        relay.send(Kind.DATA, 3, new byte[] {(byte) i});
        assertThat(read(other, 1)).containsExactly((byte) i);
      }

      relay.send(Kind.WINDOW, 1, credit(LinkFrame.WINDOW_BYTES));
      assertThat(data(relay, 1, LinkFrame.WINDOW_BYTES))
          .isEqualTo(Arrays.copyOfRange(much, LinkFrame.WINDOW_BYTES, 2 * LinkFrame.WINDOW_BYTES));
      assertThat(read(unreading, LinkFrame.WINDOW_BYTES)).hasSize(LinkFrame.WINDOW_BYTES);
      writer.interrupt();
    }
  }

  private static void writeQuietly(SocketChannel channel, byte[] bytes) {
    try {
      write(channel, bytes);
    } catch (IOException e) {
      // The test is over.
      return;
    }
  }

  @Test
  void whatTheAgentTookIsCreditForMore() throws Exception {
    Relay relay = relay();
    byte[] sent = random(10 * LinkFrame.WINDOW_BYTES);
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      Thread.ofVirtual().start(() -> sendAll(relay, sent));
      assertThat(read(agent, sent.length)).isEqualTo(sent);
    }
  }

  private static void sendAll(Relay relay, byte[] bytes) {
    try {
      int credit = LinkFrame.WINDOW_BYTES;
      for (int at = 0; at < bytes.length; at += 16 * 1024) {
        while (credit < 16 * 1024) {
          credit += relay.next().payload().getInt();
        }
        relay.send(Kind.DATA, 1, Arrays.copyOfRange(bytes, at, at + 16 * 1024));
        credit -= 16 * 1024;
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void moreThanThereIsRoomForBreaksTheLink() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      ByteArrayOutputStream all = new ByteArrayOutputStream();
      // The kernel takes a part of it for the agent, which does not read.
      for (int i = 0; i < 64; i++) {
        all.writeBytes(relay.pack(Kind.DATA, 1, new byte[32 * 1024]));
      }
      writeQuietly(relay, all.toByteArray());
      assertThat(relay.awaitEnd()).contains("more for connection 1 than there is room for");
      assertThat(agent.isOpen()).isTrue();
    }
  }

  private static void writeQuietly(Relay relay, byte[] bytes) {
    try {
      relay.write(bytes);
    } catch (IOException e) {
      // It ended, as it should.
      return;
    }
  }

  @Test
  void framesThatAreCutAnywhereAreTaken() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      byte[] frame = relay.pack(Kind.DATA, 1, "abc".getBytes(UTF_8));
      for (byte one : frame) {
        relay.write(new byte[] {one});
      }
      assertThat(read(agent, 3)).isEqualTo("abc".getBytes(UTF_8));
      relay.send(Kind.PING, 0, new byte[0]);
      assertThat(relay.next().kind()).isEqualTo(Kind.PONG);
    }
  }

  @Test
  void aDoubledFrameBreaksTheLinkAndIsNotDelivered() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      byte[] frame = relay.pack(Kind.DATA, 1, "abc".getBytes(UTF_8));
      relay.write(frame);
      relay.write(frame);
      assertThat(relay.awaitEnd()).contains("frame 0 of 3 bytes (expected: frame 1)");
      assertThat(read(agent, 100)).isEqualTo("abc".getBytes(UTF_8));
    }
  }

  @Test
  void swappedFramesBreakTheLinkAndAreNotDelivered() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      byte[] first = relay.pack(Kind.DATA, 1, "abc".getBytes(UTF_8));
      byte[] second = relay.pack(Kind.DATA, 1, "def".getBytes(UTF_8));
      relay.write(second);
      relay.write(first);
      assertThat(relay.awaitEnd()).contains("(expected: frame 0)");
      assertThat(read(agent, 100)).isEmpty();
    }
  }

  @Test
  void aDamagedFrameBreaksTheLinkAndIsNotDelivered() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      byte[] frame = relay.pack(Kind.DATA, 1, "abc".getBytes(UTF_8));
      frame[frame.length - 1] ^= 1;
      relay.write(frame);
      assertThat(relay.awaitEnd()).isEqualTo("link: frame 0 is damaged");
      assertThat(read(agent, 100)).isEmpty();
    }
  }

  @Test
  void theEndOfItsInputEndsIt() throws Exception {
    Relay relay = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      relay.next();
      relay.process.getOutputStream().close();
      assertThat(relay.awaitEnd()).isEqualTo("link: the engine closed the link");
      assertThat(read(agent, 1)).isEmpty();
    }
  }

  @Test
  void silenceEndsIt() throws Exception {
    Relay relay = relay(Duration.ofMillis(1500));
    relay.send(Kind.PING, 0, new byte[0]);
    assertThat(relay.next().kind()).isEqualTo(Kind.PONG);

    assertThat(relay.awaitEnd()).isEqualTo("link: no sign of life from the engine");
  }

  @Test
  void oneThatBeginsEndsTheOneBefore() throws Exception {
    Relay before = relay();
    try (SocketChannel agent = dial("engine.sock")) {
      before.next();
      Relay after = relay();

      assertThat(before.process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
      assertThat(before.process.exitValue()).isEqualTo(128 + 9);
      assertThat(read(agent, 1)).isEmpty();
      try (SocketChannel again = dial("engine.sock")) {
        assertThat(after.next().kind()).isEqualTo(Kind.OPEN);
        write(again, new byte[1]);
        assertThat(data(after, 1, 1)).hasSize(1);
      }
    }
  }
}
