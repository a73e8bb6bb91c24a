package dev.sandkeeper.server.egress.proxy;

import dev.sandkeeper.server.egress.Allowance;
import dev.sandkeeper.server.egress.ConnectionLog;
import dev.sandkeeper.server.egress.Destinations;
import dev.sandkeeper.server.egress.EgressSource;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.RefusedException;
import dev.sandkeeper.server.egress.Verdict;
import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.net.StandardSocketOptions;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * One connection of a sandbox, which carries one request: a tunnel, or a plain one whose answer
 * ends with the connection. So no request is ever passed on that was not checked.
 *
 * <p>It reads in the thread that serves it, and answers are carried back by another; who looks at
 * the time closes both ends when it is over.
 */
final class ProxyConnection {
  private static final Duration HEAD_TIME = Duration.ofSeconds(10);
  private static final int BUFFER_BYTES = 16 * 1024;
  private static final int MAX_ADDRESSES = 4;
  private static final int MAX_CHUNK_DIGITS = 8;

  /** A fatal alert of TLS, {@code unrecognized_name} (RFC 6066, 3). */
  private static final byte[] ALERT = HexFormat.of().parseHex("15030300020270");

  private final SocketChannel client;
  private final EgressSource source;
  private final NetworkPolicy policy;
  private final Allowance allowance;
  private final Destinations destinations;
  private final ConnectionLog log;
  private final EgressSettings settings;
  private final LongSupplier nanoTime;

  private final AtomicLong sent = new AtomicLong();
  private final AtomicLong received = new AtomicLong();
  private volatile ConnectionLog.Target target = ConnectionLog.Target.NONE;
  private volatile @Nullable SocketChannel host;
  private volatile boolean tunnelOpen;
  private volatile boolean connected;
  private volatile long deadlineNanos;
  private volatile @Nullable Verdict cut;
  private volatile boolean ended;

  ProxyConnection(
      SocketChannel client,
      EgressSource source,
      NetworkPolicy policy,
      Allowance allowance,
      Destinations destinations,
      ConnectionLog log,
      EgressSettings settings,
      LongSupplier nanoTime) {
    this.client = client;
    this.source = source;
    this.policy = policy;
    this.allowance = allowance;
    this.destinations = destinations;
    this.log = log;
    this.settings = settings;
    this.nanoTime = nanoTime;
    stayFor(HEAD_TIME);
  }

  /**
   * Serves it to its end.
   *
   * @return what became of it
   */
  Verdict serve() {
    Verdict verdict = Verdict.ALLOWED;
    try (SocketChannel _ = client) {
      try {
        pass(new BufferedInputStream(Channels.newInputStream(client), BUFFER_BYTES));
      } catch (RefusedException e) {
        verdict = e.verdict();
        refuse(verdict);
      }
    } catch (IOException _) {
      // Either end is gone, or the time is over.
    } finally {
      ended = true;
      closeHost();
      tell();
    }
    Verdict reason = cut;
    if (reason != null) {
      verdict = reason;
    }
    if (verdict != Verdict.ALLOWED) {
      log.connected(source, target, verdict);
    }
    return verdict;
  }

  private void pass(InputStream in) throws IOException, RefusedException {
    Request request = Request.read(in);
    target =
        request
            .shown()
            .map(host -> new ConnectionLog.Target(host, 0, ""))
            .orElse(ConnectionLog.Target.NONE);
    Request.Target where = request.target();
    target = new ConnectionLog.Target(where.host().value(), where.port(), "");
    if (!policy.allows(where.host(), where.port())) {
      throw new RefusedException(Verdict.HOST_NOT_ALLOWED);
    }
    if (allowance.spent()) {
      throw new RefusedException(Verdict.BYTE_LIMIT);
    }
    try (SocketChannel upstream = connect(where)) {
      if (request.isTunnel()) {
        tunnel(in, where, upstream);
      } else {
        forward(in, request, where, upstream);
      }
    }
  }

  private SocketChannel connect(Request.Target where) throws RefusedException {
    Verdict failure = Verdict.CONNECT_FAILED;
    List<InetAddress> addresses = destinations.find(where.host());
    for (InetAddress address : addresses.subList(0, Math.min(addresses.size(), MAX_ADDRESSES))) {
      stayFor(settings.connectTimeout().plus(HEAD_TIME));
      try {
        return connect(address, where);
      } catch (SocketTimeoutException _) {
        failure = Verdict.CONNECT_TIMEOUT;
      } catch (IOException _) {
        failure = Verdict.CONNECT_FAILED;
      }
    }
    throw new RefusedException(failure);
  }

  private SocketChannel connect(InetAddress address, Request.Target where) throws IOException {
    SocketChannel channel = SocketChannel.open();
    boolean success = false;
    try {
      int millis = Math.toIntExact(settings.connectTimeout().toMillis());
      channel.socket().connect(new InetSocketAddress(address, where.port()), millis);
      channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
      host = channel;
      target =
          new ConnectionLog.Target(where.host().value(), where.port(), address.getHostAddress());
      success = true;
      return channel;
    } finally {
      if (!success) {
        channel.close();
      }
    }
  }

  /**
   * Passes on nothing before the client has said, in the words of TLS, whom it is about to reach.
   */
  private void tunnel(InputStream in, Request.Target where, SocketChannel upstream)
      throws IOException, RefusedException {
    stayFor(HEAD_TIME);
    write(client, "HTTP/1.1 200 Connection established\r\n\r\n");
    tunnelOpen = true;
    ClientHello hello = ClientHello.read(in, where.host());
    made();
    try (Answers answers = new Answers(upstream)) {
      send(upstream, hello.bytes(), hello.bytes().length);
      byte[] buffer = new byte[BUFFER_BYTES];
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        send(upstream, buffer, count);
      }
      upstream.shutdownOutput();
      answers.await();
    }
  }

  private void forward(
      InputStream in, Request request, Request.Target where, SocketChannel upstream)
      throws IOException, RefusedException {
    made();
    try (Answers answers = new Answers(upstream)) {
      send(upstream, request.passedOn(where));
      long length = request.bodyLength();
      if (length < 0) {
        sendChunks(in, upstream);
      } else {
        sendBytes(in, length, upstream);
      }
      answers.await();
    }
  }

  private void made() {
    connected = true;
    log.connected(source, target, Verdict.ALLOWED);
  }

  private void sendBytes(InputStream in, long length, SocketChannel upstream)
      throws IOException, RefusedException {
    byte[] buffer = new byte[BUFFER_BYTES];
    for (long left = length; left > 0; ) {
      int count = in.read(buffer, 0, (int) Math.min(left, buffer.length));
      if (count < 0) {
        throw new EOFException();
      }
      send(upstream, buffer, count);
      left -= count;
    }
  }

  /** RFC 9112, 7.1, without extensions of chunks and without fields behind the last one. */
  private void sendChunks(InputStream in, SocketChannel upstream)
      throws IOException, RefusedException {
    long size = -1;
    while (size != 0) {
      size = chunkSize(new HeadReader(in).line());
      send(upstream, Long.toHexString(size) + "\r\n");
      sendBytes(in, size, upstream);
      if (!new HeadReader(in).line().isEmpty()) {
        throw HeadReader.malformed();
      }
      send(upstream, "\r\n");
    }
  }

  private static long chunkSize(String line) throws RefusedException {
    if (line.length() > MAX_CHUNK_DIGITS || !line.matches("[0-9A-Fa-f]+")) {
      throw HeadReader.malformed();
    }
    return Long.parseLong(line, 16);
  }

  private void send(SocketChannel upstream, String text) throws IOException, RefusedException {
    byte[] bytes = text.getBytes(StandardCharsets.ISO_8859_1);
    send(upstream, bytes, bytes.length);
  }

  private void send(SocketChannel upstream, byte[] bytes, int count)
      throws IOException, RefusedException {
    allowance.take(count);
    stayFor(settings.idleTimeout());
    Channels.newOutputStream(upstream).write(bytes, 0, count);
    sent.addAndGet(count);
  }

  /** What the host says, carried back by a thread of its own. */
  private final class Answers implements AutoCloseable {
    private final SocketChannel upstream;
    private final Thread thread;

    Answers(SocketChannel upstream) {
      this.upstream = upstream;
      this.thread = Thread.ofVirtual().name("egress-answers-", 0).start(this::carry);
    }

    private void carry() {
      try {
        InputStream in = Channels.newInputStream(upstream);
        OutputStream out = Channels.newOutputStream(client);
        byte[] buffer = new byte[BUFFER_BYTES];
        for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
          allowance.take(count);
          stayFor(settings.idleTimeout());
          out.write(buffer, 0, count);
          received.addAndGet(count);
        }
        client.shutdownOutput();
      } catch (RefusedException e) {
        cut = e.verdict();
        closeBoth();
      } catch (IOException _) {
        closeBoth();
      }
    }

    /** Waits until the host has said all. */
    void await() throws IOException {
      try {
        thread.join();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException(e);
      }
    }

    @Override
    public void close() throws IOException {
      upstream.close();
      await();
    }
  }

  private void stayFor(Duration time) {
    deadlineNanos = nanoTime.getAsLong() + time.toNanos();
  }

  /** Closes it when its time is over, and tells what went through it since the last time. */
  void check() {
    if (!ended && nanoTime.getAsLong() - deadlineNanos > 0) {
      cut = Verdict.TIMED_OUT;
      closeBoth();
    }
    tell();
  }

  private void tell() {
    log.carried(source, target, sent.getAndSet(0), received.getAndSet(0));
  }

  /** Says to the client why it is refused, as far as it can be told that. */
  private void refuse(Verdict verdict) throws IOException {
    if (!tunnelOpen && !connected) {
      answer(client, verdict);
    } else if (tunnelOpen && !connected && verdict != Verdict.NOT_TLS) {
      Channels.newOutputStream(client).write(ALERT);
    }
  }

  /** Answers with a refusal. */
  static void answer(SocketChannel client, Verdict verdict) throws IOException {
    String body = verdict.name() + ": " + verdict.message() + "\n";
    write(
        client,
        "HTTP/1.1 "
            + verdict.status()
            + " "
            + verdict.name()
            + "\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: "
            + body.length()
            + "\r\n\r\n"
            + body);
  }

  private static void write(SocketChannel client, String text) throws IOException {
    Channels.newOutputStream(client).write(text.getBytes(StandardCharsets.US_ASCII));
  }

  void closeBoth() {
    closeHost();
    close(client);
  }

  private void closeHost() {
    SocketChannel open = host;
    if (open != null) {
      close(open);
    }
  }

  private static void close(SocketChannel channel) {
    try {
      channel.close();
    } catch (IOException _) {
      // It is gone either way.
    }
  }
}
