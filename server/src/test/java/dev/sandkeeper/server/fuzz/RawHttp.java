package dev.sandkeeper.server.fuzz;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Requests of HTTP/1 with any bytes, each on a connection of its own. */
final class RawHttp {
  private static final int PATIENCE_MILLIS = 10_000;
  private static final int LINGER_MILLIS = 100;
  private static final int MAX_CHARACTERS = 1 << 20;
  private static final Pattern LENGTH = Pattern.compile("\r\ncontent-length: ([0-9]+)\r\n");

  private RawHttp() {}

  /**
   * Sends a request and returns the answer as far as it came: whole, but of a stream of events the
   * beginning; empty when the connection was closed without one.
   *
   * @throws SocketTimeoutException when nothing came
   */
  static String send(int port, byte[] request) throws IOException {
    ByteArrayOutputStream answer = new ByteArrayOutputStream();
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
      socket.setSoTimeout(PATIENCE_MILLIS);
      try {
        socket.getOutputStream().write(request);
      } catch (SocketException e) {
        // Refused while it was sent; the answer may be there all the same.
      }
      byte[] buffer = new byte[1 << 16];
      int count;
      boolean bodyless = new String(request, StandardCharsets.ISO_8859_1).startsWith("HEAD ");
      while (!isWhole(text(answer), bodyless) && (count = read(socket, buffer)) > 0) {
        answer.write(buffer, 0, count);
        if (text(answer).contains("text/event-stream")) {
          socket.setSoTimeout(LINGER_MILLIS);
        }
      }
    }
    return text(answer);
  }

  /** The server closes a while after the answer only. */
  private static boolean isWhole(String answer, boolean bodyless) {
    int end = answer.indexOf("\r\n\r\n");
    if (end < 0) {
      return false;
    }
    if (bodyless
        || answer.startsWith("HTTP/1.1 204 ")
        // What comes then is none of HTTP/1, and has no end.
        || answer.startsWith("HTTP/1.1 101 ")
        || answer.length() > MAX_CHARACTERS) {
      return true;
    }
    Matcher length = LENGTH.matcher(answer).region(0, end + 2);
    return length.find()
        ? answer.length() >= end + 4 + Integer.parseInt(length.group(1))
        : answer.endsWith("\r\n0\r\n\r\n");
  }

  private static int read(Socket socket, byte[] buffer) throws IOException {
    try {
      return socket.getInputStream().read(buffer);
    } catch (SocketTimeoutException e) {
      if (socket.getSoTimeout() == LINGER_MILLIS) {
        return -1;
      }
      throw e;
    } catch (SocketException e) { // reset behind the answer
      return -1;
    }
  }

  private static String text(ByteArrayOutputStream bytes) {
    return bytes.toString(StandardCharsets.ISO_8859_1);
  }
}
