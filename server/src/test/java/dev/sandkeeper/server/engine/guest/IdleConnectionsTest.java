package dev.sandkeeper.server.engine.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdleConnectionsTest {

  @TempDir Path folder;

  private final IdleConnections idle = new IdleConnections();
  private final List<SocketChannel> guests = new ArrayList<>();
  private final List<Connection> connections = new ArrayList<>();

  @BeforeEach
  void connect() throws Exception {
    UnixDomainSocketAddress address = UnixDomainSocketAddress.of(folder.resolve("socket"));
    try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      listener.bind(address);
      for (int i = 0; i < 3; i++) {
        guests.add(SocketChannel.open(address));
        connections.add(new Connection(listener.accept()));
      }
    }
  }

  @AfterEach
  void close() throws Exception {
    idle.close();
    connections.forEach(Connection::close);
    for (SocketChannel guest : guests) {
      guest.close();
    }
  }

  private boolean isClosed(int guest) throws Exception {
    guests.get(guest).configureBlocking(false);
    return guests.get(guest).read(ByteBuffer.allocate(1)) < 0;
  }

  @Test
  void theThirdOfAKindIsClosed() throws Exception {
    connections.forEach(connection -> idle.put("command", connection));

    assertThat(isClosed(2)).isTrue();
    assertThat(idle.take("python")).isEmpty();
    assertThat(idle.take("command")).contains(connections.get(0));
    assertThat(idle.take("command")).contains(connections.get(1));
    assertThat(idle.take("command")).isEmpty();
    assertThat(isClosed(0)).isFalse();
  }

  @Test
  void connectionWithSomethingUnreadIsNotKept() throws Exception {
    ByteBuffer twoFrames = ByteBuffer.allocate(2 * Frame.HEADER_BYTES);
    for (int i = 0; i < 2; i++) {
      twoFrames.putInt(0).put((byte) Frame.STARTED).putLong(i);
    }
    guests.get(0).write(twoFrames.flip());
    connections.get(0).read();

    idle.put("command", connections.get(0));

    assertThat(idle.take("command")).isEmpty();
    assertThat(isClosed(0)).isTrue();
  }

  @Test
  void onceClosedItKeepsNothing() throws Exception {
    idle.put("command", connections.get(0));
    idle.close();
    idle.put("command", connections.get(1));

    assertThat(isClosed(0)).isTrue();
    assertThat(isClosed(1)).isTrue();
    assertThat(idle.take("command")).isEmpty();
  }

  @Test
  void thoseThatRunTheSameAreCounted() {
    assertThat(idle.enter("python")).isZero();
    assertThat(idle.enter("python")).isOne();
    assertThat(idle.enter("command")).isZero();
    idle.leave("python");
    idle.leave("python");
    assertThat(idle.enter("python")).isZero();
  }
}
