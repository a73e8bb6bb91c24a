package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.e2b.LinkFrame.Kind;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * One connection of the agent's: what comes of it over the link goes into a socket of this server,
 * and back. One thread for each way.
 */
final class LinkConnection {
  private final int number;
  private final Path socket;
  private final SocketChannel channel;
  private final Outbox outbox;
  private final Runnable over;

  /** What the agent sent and the socket has not taken; guarded by this, as the rest is. */
  private final Deque<ByteBuffer> waiting = new ArrayDeque<>();

  /** How much the agent may send. */
  private int allowed = LinkFrame.WINDOW_BYTES;

  /** How much may be sent to the agent. */
  private long credit = LinkFrame.WINDOW_BYTES;

  private boolean agentOver;
  private boolean agentGone;
  private boolean dropped;
  private int waysOver;

  /**
   * Connects nothing yet.
   *
   * @param socket where to connect
   * @param over told once when it is of no use any more, or both ways are over
   */
  LinkConnection(int number, Path socket, Outbox outbox, Runnable over) throws IOException {
    this.number = number;
    this.socket = socket;
    this.channel = SocketChannel.open(StandardProtocolFamily.UNIX);
    this.outbox = outbox;
    this.over = over;
  }

  /** Connects and carries, on threads of its own. */
  void start() {
    Thread.ofVirtual().name("link-connection-", 0).start(this::connect);
  }

  private void connect() {
    try (channel) {
      channel.connect(UnixDomainSocketAddress.of(socket));
      Thread down = Thread.ofVirtual().name("link-down-", 0).start(this::carryDown);
      carryUp();
      // The socket stays until both ways are over.
      down.join();
    } catch (IOException e) {
      reset();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      reset();
    }
  }

  /** From the socket to the agent. */
  private void carryUp() throws IOException, InterruptedException {
    ByteBuffer buffer = ByteBuffer.allocate(LinkFrame.MAX_PAYLOAD_BYTES);
    while (awaitCredit(buffer.clear()) && outbox.awaitRoom()) {
      int count = channel.read(buffer);
      if (count < 0) {
        outbox.add(Kind.END, number, ByteBuffer.allocate(0));
        wayOver();
        return;
      }
      spend(count);
      outbox.add(Kind.DATA, number, buffer.flip());
    }
  }

  /** Waits until something may be sent, and limits the buffer to how much; false at the end. */
  private synchronized boolean awaitCredit(ByteBuffer buffer) throws InterruptedException {
    while (credit == 0 && !dropped) {
      wait();
    }
    buffer.limit((int) Math.min(credit, buffer.capacity()));
    return !dropped;
  }

  private synchronized void spend(int count) {
    credit -= count;
  }

  /** From the agent to the socket. */
  private void carryDown() {
    try {
      int taken = 0;
      while (true) {
        ByteBuffer piece = awaitPiece();
        if (!piece.hasRemaining()) {
          endDown();
          return;
        }
        taken += piece.remaining();
        while (piece.hasRemaining()) {
          channel.write(piece);
        }
        if (taken >= LinkFrame.WINDOW_BYTES / 2) {
          giveCredit(taken);
          taken = 0;
        }
      }
    } catch (IOException e) {
      reset();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      reset();
    }
  }

  private void endDown() throws IOException {
    boolean gone;
    synchronized (this) {
      gone = agentGone;
    }
    if (!gone) {
      channel.shutdownOutput();
      wayOver();
    } else if (drop()) {
      over.run();
    }
  }

  /** Returns an empty piece at the end. */
  private synchronized ByteBuffer awaitPiece() throws InterruptedException {
    while (waiting.isEmpty() && !agentOver && !dropped) {
      wait();
    }
    return waiting.isEmpty() || dropped ? ByteBuffer.allocate(0) : waiting.remove();
  }

  private synchronized void giveCredit(int count) {
    allowed += count;
    outbox.add(Kind.WINDOW, number, ByteBuffer.allocate(4).putInt(count).flip());
  }

  private void wayOver() {
    boolean both;
    synchronized (this) {
      waysOver++;
      both = waysOver == 2 && !dropped;
    }
    if (both) {
      over.run();
    }
  }

  /** Takes what the agent sent. */
  synchronized void data(ByteBuffer bytes) throws LinkFrame.BrokenException {
    allowed -= bytes.remaining();
    if (allowed < 0 || agentOver) {
      throw new LinkFrame.BrokenException(
          "more for connection " + number + " than there is room for");
    }
    if (bytes.hasRemaining()) {
      waiting.add(bytes);
    }
    notifyAll();
  }

  /** Takes credit for more. */
  synchronized void window(int count) throws LinkFrame.BrokenException {
    credit += count;
    if (count < 0 || credit > LinkFrame.WINDOW_BYTES) {
      throw new LinkFrame.BrokenException("credit of " + count + " for connection " + number);
    }
    notifyAll();
  }

  /** The agent sends no more. */
  synchronized void end() {
    agentOver = true;
    notifyAll();
  }

  /** The agent is gone: what it sent before is passed on, and nothing is sent to it. */
  synchronized void agentGone() {
    agentOver = true;
    agentGone = true;
    notifyAll();
  }

  /** Gives the connection up, and has the other end do so. */
  private void reset() {
    if (drop()) {
      outbox.add(Kind.RESET, number, ByteBuffer.allocate(0));
      over.run();
    }
  }

  /**
   * Gives the connection up on this side.
   *
   * @return whether it was of use until now
   */
  boolean drop() {
    boolean first;
    synchronized (this) {
      first = !dropped;
      dropped = true;
      notifyAll();
    }
    try {
      // Also ends a read or write under way.
      channel.close();
    } catch (IOException e) {
      // It is not used any more either way.
      return first;
    }
    return first;
  }
}
