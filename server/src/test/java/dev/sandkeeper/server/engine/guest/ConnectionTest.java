package dev.sandkeeper.server.engine.guest;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.EOFException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Frames over a real socket, also from a guest that means harm. */
class ConnectionTest {

  @TempDir Path folder;

  private SocketChannel guest;
  private Connection connection;

  @BeforeEach
  void connect() throws Exception {
    UnixDomainSocketAddress address = UnixDomainSocketAddress.of(folder.resolve("socket"));
    try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      listener.bind(address);
      guest = SocketChannel.open(address);
      connection = new Connection(listener.accept());
    }
  }

  @AfterEach
  void close() throws Exception {
    guest.close();
    connection.close();
  }

  private static ByteBuffer header(int size, int type, long offset) {
    return ByteBuffer.allocate(Frame.HEADER_BYTES)
        .putInt(size)
        .put((byte) type)
        .putLong(offset)
        .flip();
  }

  private void send(ByteBuffer bytes) throws Exception {
    while (bytes.hasRemaining()) {
      guest.write(bytes);
    }
  }

  @Test
  void framesSurviveAnyChunking() throws Exception {
    long seed = new Random().nextLong();
    Random random = new Random(seed);
    int frames = 300;
    Thread sender =
        Thread.ofVirtual()
            .start(() -> {
              Random sizes = new Random(seed + 1);
              for (int i = 0; i < frames; i++) {
                byte[] payload = new byte[sizes.nextInt(40_000)];
                ByteBuffer all =
                    ByteBuffer.allocate(Frame.HEADER_BYTES + payload.length)
                        .put(header(payload.length, i % 200, i))
                        .put(payload)
                        .flip();
                while (all.hasRemaining()) {
                  int most = 1 + random.nextInt(9_000);
                  ByteBuffer part = all.slice(all.position(), Math.min(most, all.remaining()));
                  all.position(all.position() + part.remaining());
                  try {
                    send(part);
                  } catch (Exception e) {
                    throw new IllegalStateException(e);
                  }
                }
              }
            });

    Random sizes = new Random(seed + 1);
    for (int i = 0; i < frames; i++) {
      Frame frame = connection.read();
      assertThat(frame.offset()).as("seed %s", seed).isEqualTo(i);
      assertThat(frame.payload().remaining()).isEqualTo(sizes.nextInt(40_000));
    }
    sender.join();
  }

  @Test
  void sizeBeyondTheBoundIsRefusedBeforeMemoryIsTaken() throws Exception {
    send(header(Integer.MAX_VALUE, Frame.STDOUT, 0));

    assertThatExceptionOfType(ProtocolException.class).isThrownBy(connection::read);
  }

  @Test
  void negativeSizeIsRefused() throws Exception {
    send(header(-1, Frame.STDOUT, 0));

    assertThatExceptionOfType(ProtocolException.class).isThrownBy(connection::read);
  }

  @Test
  void frameOfTheLargestSizeArrives() throws Exception {
    Thread sender =
        Thread.ofVirtual()
            .start(() -> {
              try {
                send(header(Frame.MAX_PAYLOAD_BYTES, Frame.RESULT, 0));
                send(ByteBuffer.allocate(Frame.MAX_PAYLOAD_BYTES));
              } catch (Exception e) {
                throw new IllegalStateException(e);
              }
            });

    assertThat(connection.read().payload().remaining()).isEqualTo(Frame.MAX_PAYLOAD_BYTES);
    sender.join();
  }

  @Test
  void endInTheMiddleOfAFrameIsAnEnd() throws Exception {
    send(header(100, Frame.STDOUT, 0));
    guest.close();

    assertThatExceptionOfType(EOFException.class).isThrownBy(connection::read);
  }

  @Test
  void fieldsThatLieAboutTheirSizeAreRefused() {
    for (int size : new int[] {-1, 5, Integer.MAX_VALUE}) {
      ByteBuffer payload = ByteBuffer.allocate(8).putInt(size).putInt(0).flip();
      Frame frame = new Frame(Frame.ERROR, 0, payload);
      assertThatExceptionOfType(ProtocolException.class).isThrownBy(frame::fields);
    }
    Frame cut = new Frame(Frame.ERROR, 0, ByteBuffer.allocate(3));
    assertThatExceptionOfType(ProtocolException.class).isThrownBy(cut::fields);
    Frame many = new Frame(Frame.ERROR, 0, ByteBuffer.allocate(4 * 1000));
    assertThatExceptionOfType(ProtocolException.class).isThrownBy(many::fields);
  }

  @Test
  void fieldsComeBackAsTheyWere() throws Exception {
    Fields fields = new Fields().add("name", "wert ü").add("", new byte[] {0, -1});
    ByteBuffer all = ByteBuffer.allocate(fields.bytes());
    fields.parts().forEach(all::put);
    Frame frame = new Frame(Frame.RESULT, 0, all.flip());

    assertThat(frame.fields()).hasSize(4);
    assertThat(frame.texts(4)).startsWith("name", "wert ü", "");
    assertThat(frame.fields().getLast()).containsExactly(0, -1);
  }
}
