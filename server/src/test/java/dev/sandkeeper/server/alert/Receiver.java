package dev.sandkeeper.server.alert;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** A receiver of alerts on this machine, which keeps what it got. */
public final class Receiver implements AutoCloseable {
  private final List<Request> requests = new CopyOnWriteArrayList<>();
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
  private final AtomicInteger present = new AtomicInteger();
  private final AtomicInteger mostAtOnce = new AtomicInteger();
  private final HttpServer server;

  /** What came. */
  public record Request(
      String target,
      String host,
      String contentType,
      String id,
      String timestamp,
      String signature,
      String body) {}

  private Receiver(HttpHandler answer) throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext("/", exchange -> take(exchange, answer));
    server.start();
  }

  /** Starts one that answers with a status and nothing else. */
  public static Receiver answering(int status) throws IOException {
    return new Receiver(exchange -> exchange.sendResponseHeaders(status, -1));
  }

  /** Starts one that answers as it is told. */
  public static Receiver answering(HttpHandler answer) throws IOException {
    return new Receiver(answer);
  }

  private void take(HttpExchange exchange, HttpHandler answer) throws IOException {
    mostAtOnce.accumulateAndGet(present.incrementAndGet(), Math::max);
    try (exchange) {
      requests.add(
          new Request(
              exchange.getRequestURI().toString(),
              header(exchange, "Host"),
              header(exchange, "Content-Type"),
              header(exchange, "webhook-id"),
              header(exchange, "webhook-timestamp"),
              header(exchange, "webhook-signature"),
              new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8)));
      answer.handle(exchange);
    } finally {
      present.decrementAndGet();
    }
  }

  private static String header(HttpExchange exchange, String name) {
    return String.valueOf(exchange.getRequestHeaders().getFirst(name));
  }

  /** Returns what came, oldest first. */
  public List<Request> requests() {
    return requests;
  }

  /** Returns how many requests there were at one moment, at most. */
  public int mostAtOnce() {
    return mostAtOnce.get();
  }

  /** Returns its port. */
  public int port() {
    return server.getAddress().getPort();
  }

  /** Returns its URL. */
  public String url() {
    return "http://127.0.0.1:" + port() + "/alerts?for=test";
  }

  @Override
  public void close() {
    server.stop(0);
    threads.shutdownNow();
  }
}
