package dev.sandkeeper.server.engine.guest;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;

/** A connection an agent dialled. One thread reads; writers take turns. */
final class Connection implements AutoCloseable {

  /** Holds the agent's usual chunk of 256 KiB; grows once for what is larger. */
  private static final int FIRST_BUFFER_BYTES = 256 * 1024 + Frame.HEADER_BYTES;

  private static final int SMALL_BUFFER_BYTES = 4 * 1024;

  private final SocketChannel channel;
  private final Object writing = new Object();
  private ByteBuffer buffer = ByteBuffer.allocateDirect(SMALL_BUFFER_BYTES).flip();

  Connection(SocketChannel channel) {
    this.channel = channel;
  }

  /**
   * Waits for the next frame.
   *
   * @return the frame, whose payload is valid until the next call
   * @throws EOFException when the other end is gone
   * @throws ProtocolException when a frame is larger than agents may send
   */
  Frame read() throws IOException {
    require(Frame.HEADER_BYTES);
    int size = buffer.getInt();
    int type = buffer.get();
    long offset = buffer.getLong();
    if (size < 0 || size > Frame.MAX_PAYLOAD_BYTES) {
      throw new ProtocolException("payload size " + size);
    }
    require(size);
    ByteBuffer payload = buffer.slice(buffer.position(), size).asReadOnlyBuffer();
    buffer.position(buffer.position() + size);
    return new Frame(type, offset, payload);
  }

  /** Makes at least {@code count} bytes available in the buffer. */
  private void require(int count) throws IOException {
    if (buffer.remaining() >= count) {
      return;
    }
    if (count > buffer.capacity()) {
      int capacity = Math.max(count + Frame.HEADER_BYTES, FIRST_BUFFER_BYTES);
      buffer = ByteBuffer.allocateDirect(capacity).put(buffer);
    } else {
      buffer.compact();
    }
    try {
      while (buffer.position() < count) {
        if (channel.read(buffer) < 0) {
          throw new EOFException("the agent closed the connection");
        }
      }
    } finally {
      buffer.flip();
    }
  }

  /**
   * Waits for bytes that are no frames, behind the last frame; none is read after.
   *
   * @return how many; -1 when the other end has ended its side
   */
  int readBytes(ByteBuffer target) throws IOException {
    if (!buffer.hasRemaining()) {
      return channel.read(target);
    }
    int count = Math.min(buffer.remaining(), target.remaining());
    target.put(buffer.slice(buffer.position(), count));
    buffer.position(buffer.position() + count);
    return count;
  }

  /** Sends bytes that are no frames. */
  void writeBytes(ByteBuffer source) throws IOException {
    while (source.hasRemaining()) {
      channel.write(source);
    }
  }

  /** Tells the other end that nothing more is sent. */
  void endOutput() throws IOException {
    channel.shutdownOutput();
  }

  /**
   * Gives back the memory of bulk reads, before a time in which nothing comes.
   *
   * @return whether nothing has come that nobody read
   */
  boolean rest() {
    if (buffer.hasRemaining()) {
      return false;
    }
    if (buffer.capacity() > SMALL_BUFFER_BYTES) {
      buffer = ByteBuffer.allocateDirect(SMALL_BUFFER_BYTES).flip();
    }
    return true;
  }

  /** Sends a frame without a payload. */
  void write(int type, long offset) throws IOException {
    write(type, offset, List.of(), 0);
  }

  /** Sends a frame of fields. */
  void write(int type, long offset, Fields fields) throws IOException {
    write(type, offset, fields.parts(), fields.bytes());
  }

  /** Sends a frame with one piece of content. */
  void write(int type, long offset, ByteBuffer content) throws IOException {
    write(type, offset, List.of(content), content.remaining());
  }

  private void write(int type, long offset, List<ByteBuffer> parts, int size) throws IOException {
    List<ByteBuffer> all = new ArrayList<>(parts.size() + 1);
    all.add(
        ByteBuffer.allocate(Frame.HEADER_BYTES)
            .putInt(size)
            .put((byte) type)
            .putLong(offset)
            .flip());
    all.addAll(parts);
    ByteBuffer[] sources = all.toArray(ByteBuffer[]::new);
    synchronized (writing) {
      int first = 0;
      while (first < sources.length) {
        channel.write(sources, first, sources.length - first);
        while (first < sources.length && !sources[first].hasRemaining()) {
          first++;
        }
      }
    }
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      // It is not used any more either way.
      return;
    }
  }
}
