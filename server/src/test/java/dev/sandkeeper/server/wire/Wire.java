package dev.sandkeeper.server.wire;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** A connection to the server on which anything can be sent, with the words of HTTP/2 at hand. */
public final class Wire implements AutoCloseable {
  // The types of frames.
  public static final int DATA = 0;
  public static final int HEADERS = 1;
  public static final int PRIORITY = 2;
  public static final int RST_STREAM = 3;
  public static final int SETTINGS = 4;
  public static final int PUSH_PROMISE = 5;
  public static final int PING = 6;
  public static final int GOAWAY = 7;
  public static final int WINDOW_UPDATE = 8;
  public static final int CONTINUATION = 9;

  // Their flags.
  public static final int END_STREAM = 1;
  public static final int ACK = 1;
  public static final int END_HEADERS = 4;

  /** What an HTTP/2 client sends first, and its settings, of which it has none. */
  public static final byte[] PREFACE =
      join(ascii("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(SETTINGS, 0, 0, new byte[0]));

  private final Socket socket;

  /** A frame that the server sent. */
  public record Frame(int type, int flags, int stream, byte[] payload) {
    /** Returns the error code of a RST_STREAM frame. */
    public int resetCode() {
      return ByteBuffer.wrap(payload).getInt();
    }

    /** Returns the error code of a GOAWAY frame. */
    public int goAwayCode() {
      return ByteBuffer.wrap(payload).getInt(4);
    }
  }

  /** Connects to the server on this machine. */
  public Wire(int port) throws IOException {
    socket = new Socket(InetAddress.getLoopbackAddress(), port);
    socket.setTcpNoDelay(true);
  }

  /** Sends bytes. */
  public Wire send(byte[]... parts) throws IOException {
    socket.getOutputStream().write(join(parts));
    return this;
  }

  /** Sends the same bytes again and again until the server closes or the time is over. */
  public void flood(byte[] part, Duration duration) throws IOException {
    long end = System.nanoTime() + duration.toNanos();
    try {
      while (System.nanoTime() < end) {
        send(part);
      }
    } catch (SocketException e) {
      // The server has had enough.
    }
  }

  /** Reads until the server closes, in whatever way, and returns what it sent. */
  public byte[] readToEnd(Duration patience) throws IOException {
    ByteArrayOutputStream read = new ByteArrayOutputStream();
    long end = System.nanoTime() + patience.toNanos();
    byte[] buffer = new byte[8192];
    try {
      while (true) {
        int millis = (int) Math.max(1, (end - System.nanoTime()) / 1_000_000);
        socket.setSoTimeout(millis);
        int count = socket.getInputStream().read(buffer);
        if (count < 0) {
          return read.toByteArray();
        }
        read.write(buffer, 0, count);
      }
    } catch (SocketTimeoutException e) {
      throw new AssertionError("still open after " + patience + " and " + read.size() + " B", e);
    } catch (SocketException e) {
      return read.toByteArray();
    }
  }

  /** Reads until the text is there, and returns all that came so far. */
  public String readUntil(String text, Duration patience) throws IOException {
    socket.setSoTimeout((int) patience.toMillis());
    StringBuilder read = new StringBuilder();
    byte[] buffer = new byte[8192];
    while (read.indexOf(text) < 0) {
      int count = socket.getInputStream().read(buffer);
      if (count < 0) {
        throw new SocketException("closed by the server after " + read);
      }
      read.append(new String(buffer, 0, count, StandardCharsets.ISO_8859_1));
    }
    return read.toString();
  }

  /** Reads the next frame. */
  public Frame readFrame(Duration patience) throws IOException {
    socket.setSoTimeout((int) patience.toMillis());
    InputStream input = socket.getInputStream();
    byte[] head = input.readNBytes(9);
    if (head.length < 9) {
      throw new SocketException("closed by the server");
    }
    ByteBuffer fields = ByteBuffer.wrap(head);
    int length = fields.getInt(0) >>> 8;
    return new Frame(head[3], head[4], fields.getInt(5), input.readNBytes(length));
  }

  /** Reads frames up to the next of a type, and returns that. */
  public Frame readFrame(int type, Duration patience) throws IOException {
    Frame frame = readFrame(patience);
    while (frame.type() != type) {
      frame = readFrame(patience);
    }
    return frame;
  }

  @Override
  public void close() throws IOException {
    socket.close();
  }

  /** Makes a frame. */
  public static byte[] frame(int type, int flags, int stream, byte[] payload) {
    return ByteBuffer.allocate(9 + payload.length)
        .putInt(payload.length << 8 | type)
        .put((byte) flags)
        .putInt(stream)
        .put(payload)
        .array();
  }

  /** Makes the head of a request, as HPACK writes it without compressing. */
  public static byte[] head(String method, String path, String... more) {
    byte[] head =
        join(
            header(":method", method),
            header(":scheme", "http"),
            header(":path", path),
            header(":authority", "localhost"));
    for (int i = 0; i < more.length; i += 2) {
      head = join(head, header(more[i], more[i + 1]));
    }
    return head;
  }

  /** Makes one header, a literal without indexing (RFC 7541, 6.2.2). */
  public static byte[] header(String name, String value) {
    return join(new byte[] {0}, literal(name), literal(value));
  }

  /** Makes a string (RFC 7541, 5.2). */
  public static byte[] literal(String text) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    int length = text.length();
    if (length < 127) {
      out.write(length);
    } else {
      out.write(127);
      int rest = length - 127;
      while (rest >= 128) {
        out.write(rest % 128 + 128);
        rest /= 128;
      }
      out.write(rest);
    }
    out.writeBytes(ascii(text));
    return out.toByteArray();
  }

  /** Returns the bytes of a text. */
  public static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }

  /** Returns the bytes of a number. */
  public static byte[] number(int value) {
    return ByteBuffer.allocate(Integer.BYTES).putInt(value).array();
  }

  /** Returns all parts, one after the other. */
  public static byte[] join(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }

  /** Returns the same bytes several times. */
  public static byte[] repeat(byte[] part, int times) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(part.length * times);
    for (int i = 0; i < times; i++) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }
}
