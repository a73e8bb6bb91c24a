package dev.sandkeeper.server.egress.proxy;

import dev.sandkeeper.server.egress.RefusedException;
import dev.sandkeeper.server.egress.Verdict;
import dev.sandkeeper.server.net.HostName;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * The first message of TLS (RFC 8446, 4.1.2), which says to whom it is.
 *
 * @param bytes as they came, records and all
 */
record ClientHello(byte[] bytes) {
  private static final int MAX_BYTES = 64 * 1024;
  private static final int MAX_RECORD_BYTES = 16 * 1024;
  private static final int RECORD_HEADER_BYTES = 5;
  private static final int MESSAGE_HEADER_BYTES = 4;
  private static final int RANDOM_BYTES = 32;
  private static final int HANDSHAKE = 22;
  private static final int MAJOR_VERSION = 3;
  private static final int CLIENT_HELLO = 1;
  private static final int HOST_NAME = 0;

  // Types of extensions.
  private static final int SERVER_NAME = 0;
  private static final int ENCRYPTED_CLIENT_HELLO = 0xfe0d;
  private static final int ENCRYPTED_SERVER_NAME = 0xffce; // what was before ECH

  /**
   * Reads the message, in however many records it comes, and checks that it names the host.
   *
   * @throws EOFException when the connection ends before
   * @throws RefusedException {@link Verdict#NOT_TLS}, {@link Verdict#NO_SERVER_NAME}, {@link
   *     Verdict#SERVER_NAME_MISMATCH} or {@link Verdict#ENCRYPTED_CLIENT_HELLO}
   */
  static ClientHello read(InputStream in, HostName host) throws IOException, RefusedException {
    ByteArrayOutputStream raw = new ByteArrayOutputStream();
    ByteArrayOutputStream message = new ByteArrayOutputStream();
    int size = MESSAGE_HEADER_BYTES;
    while (message.size() < size) {
      byte[] header = header(in);
      int length = Short.toUnsignedInt(ByteBuffer.wrap(header).getShort(3));
      require(header[1] == MAJOR_VERSION, Verdict.NOT_TLS);
      require(length > 0 && length <= MAX_RECORD_BYTES, Verdict.NOT_TLS);
      byte[] fragment = exactly(in, length);
      raw.writeBytes(header);
      raw.writeBytes(fragment);
      message.writeBytes(fragment);
      require(raw.size() <= MAX_BYTES, Verdict.NOT_TLS);
      if (message.size() >= MESSAGE_HEADER_BYTES) {
        int start = ByteBuffer.wrap(message.toByteArray()).getInt();
        require(start >>> 24 == CLIENT_HELLO, Verdict.NOT_TLS);
        size = MESSAGE_HEADER_BYTES + (start & 0xffffff);
        require(size <= MAX_BYTES, Verdict.NOT_TLS);
      }
    }
    // Nothing may follow it in its last record, where it would be read with other keys.
    require(message.size() == size, Verdict.NOT_TLS);
    check(ByteBuffer.wrap(message.toByteArray()).position(MESSAGE_HEADER_BYTES), host);
    return new ClientHello(raw.toByteArray());
  }

  private static void check(ByteBuffer body, HostName host) throws RefusedException {
    try {
      skip(body, 2 + RANDOM_BYTES);
      skip(body, Byte.toUnsignedInt(body.get())); // session id
      skip(body, Short.toUnsignedInt(body.getShort())); // cipher suites
      skip(body, Byte.toUnsignedInt(body.get())); // compression methods
      require(body.hasRemaining(), Verdict.NO_SERVER_NAME);
      ByteBuffer extensions = vector(body);
      require(!body.hasRemaining(), Verdict.NO_SERVER_NAME);
      int names = 0;
      while (extensions.hasRemaining()) {
        int type = Short.toUnsignedInt(extensions.getShort());
        ByteBuffer extension = vector(extensions);
        require(
            type != ENCRYPTED_CLIENT_HELLO && type != ENCRYPTED_SERVER_NAME,
            Verdict.ENCRYPTED_CLIENT_HELLO);
        if (type == SERVER_NAME) {
          names++;
          require(serverName(extension).equals(host.value()), Verdict.SERVER_NAME_MISMATCH);
        }
      }
      // With two of them it would depend on the server which it takes.
      require(names == 1, Verdict.NO_SERVER_NAME);
    } catch (BufferUnderflowException | IllegalArgumentException _) {
      throw new RefusedException(Verdict.NO_SERVER_NAME);
    }
  }

  /** RFC 6066, 3: a list that holds one name, which is without a full stop at the end. */
  private static String serverName(ByteBuffer extension) throws RefusedException {
    ByteBuffer list = vector(extension);
    require(!extension.hasRemaining() && list.get() == HOST_NAME, Verdict.NO_SERVER_NAME);
    ByteBuffer name = vector(list);
    require(!list.hasRemaining(), Verdict.NO_SERVER_NAME);
    return StandardCharsets.ISO_8859_1.decode(name).toString().toLowerCase(Locale.ROOT);
  }

  private static ByteBuffer vector(ByteBuffer buffer) {
    int length = Short.toUnsignedInt(buffer.getShort());
    ByteBuffer content = buffer.slice();
    skip(buffer, length);
    return content.limit(length);
  }

  private static void skip(ByteBuffer buffer, int length) {
    buffer.position(buffer.position() + length);
  }

  private static byte[] header(InputStream in) throws IOException, RefusedException {
    // What is not TLS may be shorter than a header, and wait for an answer.
    int first = in.read();
    require(first == HANDSHAKE || first < 0, Verdict.NOT_TLS);
    byte[] rest = exactly(in, RECORD_HEADER_BYTES - 1);
    return ByteBuffer.allocate(RECORD_HEADER_BYTES).put((byte) first).put(rest).array();
  }

  private static byte[] exactly(InputStream in, int length) throws IOException {
    byte[] bytes = in.readNBytes(length);
    if (bytes.length < length) {
      throw new EOFException();
    }
    return bytes;
  }

  private static void require(boolean condition, Verdict otherwise) throws RefusedException {
    if (!condition) {
      throw new RefusedException(otherwise);
    }
  }
}
