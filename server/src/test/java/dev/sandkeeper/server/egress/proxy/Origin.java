package dev.sandkeeper.server.egress.proxy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A host on this machine's loopback. It notes what comes, answers as it is told once something has
 * come, and then waits for the other end to close.
 */
public final class Origin implements AutoCloseable {
  /** Its address. */
  public static final InetAddress ADDRESS = InetAddress.ofLiteral("127.0.0.1");

  private final ServerSocket listener = new ServerSocket(0, 50, ADDRESS);
  private final List<ByteArrayOutputStream> received = new CopyOnWriteArrayList<>();
  private final AtomicInteger ended = new AtomicInteger();
  private volatile byte[] answer = new byte[0];
  private volatile boolean closesAfterAnswer = true;

  /** Begins to listen. */
  public Origin() throws IOException {
    Thread.ofVirtual().start(this::accept);
  }

  /** Returns its port. */
  public int port() {
    return listener.getLocalPort();
  }

  /** Has it answer so. */
  public void answers(String text) {
    answer = text.getBytes(StandardCharsets.ISO_8859_1);
    closesAfterAnswer = true;
  }

  /** Has it answer so, and stay. */
  void answersAndStays(String text) {
    answers(text);
    closesAfterAnswer = false;
  }

  /** Returns how many connections there were. */
  int connections() {
    return received.size();
  }

  /** Returns how many connections the other end has closed. */
  int ended() {
    return ended.get();
  }

  /** Returns all that came, of all connections. */
  byte[] bytes() {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    received.forEach(one -> all.writeBytes(one.toByteArray()));
    return all.toByteArray();
  }

  /** Returns all that came, of all connections. */
  public String text() {
    return new String(bytes(), StandardCharsets.ISO_8859_1);
  }

  private void accept() {
    try {
      while (true) {
        Socket socket = listener.accept();
        ByteArrayOutputStream sink = new ByteArrayOutputStream();
        received.add(sink);
        Thread.ofVirtual().start(() -> serve(socket, sink));
      }
    } catch (IOException _) {
      // Closed.
    }
  }

  private void serve(Socket socket, ByteArrayOutputStream sink) {
    try (socket) {
      InputStream in = socket.getInputStream();
      byte[] buffer = new byte[65536];
      boolean answered = false;
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        sink.write(buffer, 0, count);
        if (!answered) {
          answered = true;
          socket.getOutputStream().write(answer);
          if (closesAfterAnswer) {
            socket.shutdownOutput();
          }
        }
      }
    } catch (IOException _) {
      // Cut.
    } finally {
      ended.incrementAndGet();
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
  }
}
