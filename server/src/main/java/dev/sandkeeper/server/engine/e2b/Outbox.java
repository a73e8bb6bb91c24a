package dev.sandkeeper.server.engine.e2b;

import java.nio.ByteBuffer;

/** The frames that wait to go up a link, in their order. */
final class Outbox {

  /** With as much waiting, data of connections is not taken. */
  private static final int MAX_WAITING_BYTES = 1024 * 1024;

  /** With as much waiting the other end asks for more answers than it takes. */
  private static final int MAX_BYTES = 4 * MAX_WAITING_BYTES;

  private final LinkFrame.Packer packer = new LinkFrame.Packer();

  /** Ready to be written to; guarded by this, as the rest is. */
  private ByteBuffer waiting = ByteBuffer.allocate(LinkFrame.MAX_PAYLOAD_BYTES);

  private boolean closed;

  /**
   * Adds a frame, without waiting.
   *
   * @return false when it is closed, or was closed for the sum of what waits
   */
  synchronized boolean add(LinkFrame.Kind kind, int connection, ByteBuffer payload) {
    byte[] frame = packer.pack(kind, connection, payload);
    if (waiting.position() + frame.length > MAX_BYTES) {
      close();
    }
    if (closed) {
      return false;
    }
    if (frame.length > waiting.remaining()) {
      int needed = waiting.position() + frame.length;
      waiting = ByteBuffer.allocate(Math.max(needed, 2 * waiting.capacity())).put(waiting.flip());
    }
    waiting.put(frame);
    notifyAll();
    return true;
  }

  /** Waits until there is room for data of a connection; false when it is closed. */
  synchronized boolean awaitRoom() throws InterruptedException {
    while (!closed && waiting.position() >= MAX_WAITING_BYTES) {
      wait();
    }
    return !closed;
  }

  /** Waits for something, and returns at most so much of it; nothing when it is closed. */
  synchronized byte[] take(int mostBytes) throws InterruptedException {
    while (!closed && waiting.position() == 0) {
      wait();
    }
    if (closed) {
      return new byte[0];
    }
    waiting.flip();
    byte[] bytes = new byte[Math.min(mostBytes, waiting.remaining())];
    waiting.get(bytes);
    if (waiting.hasRemaining() || waiting.capacity() == LinkFrame.MAX_PAYLOAD_BYTES) {
      waiting.compact();
    } else {
      waiting = ByteBuffer.allocate(LinkFrame.MAX_PAYLOAD_BYTES);
    }
    notifyAll();
    return bytes;
  }

  /** Drops what waits, and all that comes. */
  synchronized void close() {
    closed = true;
    notifyAll();
  }
}
