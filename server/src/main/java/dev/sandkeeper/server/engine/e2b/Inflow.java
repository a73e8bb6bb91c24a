package dev.sandkeeper.server.engine.e2b;

import java.nio.ByteBuffer;

/** Bytes that came and are not read yet, whatever pieces they came in. */
final class Inflow {
  private static final int FIRST_BYTES = 64 * 1024;

  /** Ready to be read from. */
  private ByteBuffer buffer = ByteBuffer.allocate(FIRST_BYTES).flip();

  /** Takes what came. */
  void add(ByteBuffer bytes) {
    int needed = buffer.remaining() + bytes.remaining();
    if (needed > buffer.capacity()) {
      buffer = ByteBuffer.allocate(Math.max(needed, 2 * buffer.capacity())).put(buffer).flip();
    } else if (bytes.remaining() > buffer.capacity() - buffer.limit()) {
      buffer.compact().flip();
    }
    int position = buffer.position();
    buffer.position(buffer.limit()).limit(buffer.capacity());
    buffer.put(bytes).flip().position(position);
  }

  int size() {
    return buffer.remaining();
  }

  /** Returns what is there, to be looked at without reading it. */
  ByteBuffer peek() {
    return buffer.slice().asReadOnlyBuffer();
  }

  void skip(int count) {
    buffer.position(buffer.position() + count);
  }

  /** Reads so many bytes, which are there. */
  byte[] take(int count) {
    byte[] bytes = new byte[count];
    buffer.get(bytes);
    return bytes;
  }
}
