package dev.sandkeeper.server.crash;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** A way to a port of this machine on which all connections can be cut at once. */
final class CuttingWay implements AutoCloseable {
  private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final int target;
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();

  CuttingWay(int target) throws IOException {
    this.target = target;
    Thread.startVirtualThread(this::accept);
  }

  /** Returns the port by which one gets there. */
  int port() {
    return listener.getLocalPort();
  }

  /** Cuts every connection that there is, and returns how many. */
  int cut() {
    Set<Socket> cut = Set.copyOf(open);
    cut.forEach(this::close);
    return cut.size() / 2;
  }

  private void accept() {
    while (!listener.isClosed()) {
      try {
        Socket from = listener.accept();
        Thread.startVirtualThread(() -> connect(from));
      } catch (IOException e) {
        return; // closed
      }
    }
  }

  private void connect(Socket from) {
    open.add(from);
    try {
      Socket to = new Socket(InetAddress.getLoopbackAddress(), target);
      open.add(to);
      Thread.startVirtualThread(() -> forward(from, to));
      forward(to, from);
    } catch (IOException e) {
      close(from); // nobody listens there now
    }
  }

  private void forward(Socket from, Socket to) {
    try {
      InputStream input = from.getInputStream();
      OutputStream output = to.getOutputStream();
      byte[] buffer = new byte[16_384];
      for (int count = input.read(buffer); count >= 0; count = input.read(buffer)) {
        output.write(buffer, 0, count);
      }
    } catch (IOException e) {
      // Cut, or one end is gone.
    } finally {
      close(from);
      close(to);
    }
  }

  private void close(Socket socket) {
    open.remove(socket);
    try {
      socket.close();
    } catch (IOException e) {
      throw new IllegalStateException("cannot close a socket", e);
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
    cut();
  }
}
