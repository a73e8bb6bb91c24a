package dev.sandkeeper.server.egress.proxy;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Writes first messages of TLS, sound and unsound ones. */
final class Hello {
  private Hello() {}

  /** A message that names hosts, each in an extension of its own, with other extensions behind. */
  static byte[] message(byte[] others, String... hosts) {
    ByteArrayOutputStream extensions = new ByteArrayOutputStream();
    for (String host : hosts) {
      byte[] name = host.getBytes(StandardCharsets.ISO_8859_1);
      extensions.writeBytes(extension(0, vector(join(new byte[] {0}, vector(name)))));
    }
    extensions.writeBytes(others);
    byte[] body =
        join(
            new byte[] {3, 3},
            new byte[32],
            new byte[] {0, 0, 2, 0x13, 1, 1, 0},
            vector(extensions.toByteArray()));
    return join(ByteBuffer.allocate(4).putInt(1 << 24 | body.length).array(), body);
  }

  static byte[] extension(int type, byte[] content) {
    return join(ByteBuffer.allocate(2).putShort((short) type).array(), vector(content));
  }

  /** A message in records of at most so many bytes. */
  static byte[] records(byte[] message, int most) {
    ByteArrayOutputStream records = new ByteArrayOutputStream();
    for (int start = 0; start < message.length; start += most) {
      byte[] part = Arrays.copyOfRange(message, start, Math.min(start + most, message.length));
      records.writeBytes(join(new byte[] {22, 3, 1}, vector(part)));
    }
    return records.toByteArray();
  }

  static byte[] to(String... hosts) {
    return records(message(new byte[0], hosts), 16384);
  }

  private static byte[] vector(byte[] content) {
    return join(ByteBuffer.allocate(2).putShort((short) content.length).array(), content);
  }

  static byte[] join(byte[]... parts) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      all.writeBytes(part);
    }
    return all.toByteArray();
  }
}
