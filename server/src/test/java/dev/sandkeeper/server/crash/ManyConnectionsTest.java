package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.UnixOperatingSystemMXBean;
import dev.sandkeeper.server.wire.Wire;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Very many connections on which nothing happens. */
@Tag("alone")
class ManyConnectionsTest {
  private static final int WANTED = 10_000;

  /** What this process and the server need beside them. */
  private static final int OTHER_FILES = 1_000;

  private static final long MAX_BYTES_EACH = 20 << 10;

  private ServerProcess server;

  @BeforeEach
  void start() throws Exception {
    server =
        new ServerProcess()
            .set("SERVER_MAX_CONNECTIONS", Integer.toString(WANTED + OTHER_FILES))
            .set("SERVER_IDLE_TIMEOUT", "10 minutes")
            .set("SERVER_PING_INTERVAL", "10 minutes") // these would not answer
            .start();
  }

  @AfterEach
  void clean() throws Exception {
    server.close();
  }

  @Test
  void tenThousandIdleConnectionsCostLittleAndOthersAreServed() throws Exception {
    int count = (int) Math.min(WANTED, maxFiles() - OTHER_FILES);
    Client active = server.client();
    String sandbox = active.create(Duration.ofMinutes(10)).getSandboxId();
    long before = residentBytes();
    List<SocketChannel> idle = new ArrayList<>();
    try {
      for (int i = 0; i < count; i++) {
        idle.add(connect(active.port()));
      }
      for (SocketChannel channel : idle) {
        awaitSettings(channel);
      }

      assertThat(active.run(Client.bash(sandbox, "echo served"))).isEqualTo("served\n");
      long each = (residentBytes() - before) / count;
      System.out.printf("%d idle connections, %d B each%n", count, each);
      assertThat(each).isLessThan(MAX_BYTES_EACH);
    } finally {
      for (SocketChannel channel : idle) {
        channel.close();
      }
    }
    assertThat(active.run(Client.bash(sandbox, "echo served"))).isEqualTo("served\n");
  }

  /** Opens an HTTP/2 connection. */
  private static SocketChannel connect(int port) throws IOException {
    SocketChannel channel =
        SocketChannel.open(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
    channel.write(ByteBuffer.wrap(Wire.PREFACE));
    return channel;
  }

  private static void awaitSettings(SocketChannel channel) throws IOException {
    assertThat(channel.read(ByteBuffer.allocate(9))).isEqualTo(9);
  }

  private static long maxFiles() {
    return ((UnixOperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getMaxFileDescriptorCount();
  }

  private long residentBytes() throws IOException {
    Path status = Path.of("/proc", Long.toString(server.process().pid()), "status");
    return Files.readAllLines(status).stream()
        .filter(line -> line.startsWith("VmRSS:"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) << 10)
        .findFirst()
        .orElseThrow();
  }
}
