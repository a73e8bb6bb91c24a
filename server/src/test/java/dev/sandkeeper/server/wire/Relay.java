package dev.sandkeeper.server.wire;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Stands between clients and the server. When it freezes, what either side sends is read no more
 * and reaches nobody, and no connection is closed: as if the client's machine had lost its power.
 */
public final class Relay implements AutoCloseable {
  private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final int target;
  private final List<Socket> sockets = new CopyOnWriteArrayList<>();
  private volatile boolean frozen;

  /** Relays to a port of this machine. */
  public Relay(int target) throws IOException {
    this.target = target;
    Thread.startVirtualThread(this::accept);
  }

  /** Returns the port for clients. */
  public int port() {
    return listener.getLocalPort();
  }

  /** Lets nothing through any more. */
  public void freeze() {
    frozen = true;
  }

  private void accept() {
    try {
      while (true) {
        Socket client = listener.accept();
        Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
        sockets.addAll(List.of(client, server));
        Thread.startVirtualThread(() -> forward(client, server));
        Thread.startVirtualThread(() -> forward(server, client));
      }
    } catch (IOException e) {
      // Closed.
    }
  }

  private void forward(Socket from, Socket to) {
    byte[] buffer = new byte[16_384];
    try {
      InputStream input = from.getInputStream();
      OutputStream output = to.getOutputStream();
      int count = input.read(buffer);
      while (count >= 0 && !frozen) {
        output.write(buffer, 0, count);
        count = input.read(buffer);
      }
      if (!frozen) {
        to.shutdownOutput();
      }
    } catch (IOException e) {
      // One side is gone, which the other notices by itself in these tests.
    }
  }

  @Override
  public void close() {
    try {
      listener.close();
      for (Socket socket : sockets) {
        socket.close();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
