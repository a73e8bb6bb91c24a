package dev.sandkeeper.server;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntSupplier;
import java.util.function.LongSupplier;

/**
 * A way to the server that breaks: each connection is cut once so many bytes went through it to the
 * client, wherever in a message that is.
 */
final class CuttingRelay implements AutoCloseable {
  private final ServerSocket listener;
  private final IntSupplier serverPort;
  private final LongSupplier bytesToCut;
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();
  private final AtomicInteger cuts = new AtomicInteger();

  /**
   * Opens the way.
   *
   * @param serverPort the server's port on this machine, asked for at each connection
   * @param bytesToCut after how many bytes a connection is cut, asked for at each connection
   */
  CuttingRelay(IntSupplier serverPort, LongSupplier bytesToCut) throws IOException {
    this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    this.serverPort = serverPort;
    this.bytesToCut = bytesToCut;
    Thread.ofVirtual().name("relay").start(this::accept);
  }

  /** Returns where clients connect to. */
  String target() {
    return "127.0.0.1:" + listener.getLocalPort();
  }

  /** Returns how many connections were cut. */
  int cuts() {
    return cuts.get();
  }

  @Override
  public void close() throws IOException {
    listener.close();
    open.forEach(CuttingRelay::close);
  }

  private void accept() {
    while (!listener.isClosed()) {
      try {
        Socket client = listener.accept();
        Socket server = new Socket(InetAddress.getLoopbackAddress(), serverPort.getAsInt());
        open.add(client);
        open.add(server);
        long bytes = bytesToCut.getAsLong();
        Thread.ofPlatform().daemon().start(() -> pump(client, server, Long.MAX_VALUE));
        Thread.ofPlatform().daemon().start(() -> pump(server, client, bytes));
      } catch (IOException _) {
        // Closed, or the server is away: the next client is told by its own connection.
      }
    }
  }

  private void pump(Socket from, Socket to, long bytes) {
    byte[] buffer = new byte[64 * 1024];
    long left = bytes;
    try (from;
        to;
        InputStream in = from.getInputStream();
        OutputStream out = to.getOutputStream()) {
      while (left > 0) {
        int read = in.read(buffer, 0, (int) Math.min(buffer.length, left));
        if (read < 0) {
          return;
        }
        out.write(buffer, 0, read);
        left -= read;
      }
      cuts.incrementAndGet();
    } catch (IOException _) {
      // The other direction was cut, or one side is gone.
    } finally {
      open.remove(from);
      open.remove(to);
    }
  }

  private static void close(Socket socket) {
    try {
      socket.close();
    } catch (IOException _) {
      // It is closed.
    }
  }
}
