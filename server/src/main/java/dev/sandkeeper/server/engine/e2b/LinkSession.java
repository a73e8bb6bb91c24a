package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.e2b.LinkFrame.Kind;
import dev.sandkeeper.server.engine.guest.Guest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** A link as long as it holds: one relay in the sandbox, and the connections that it carries. */
final class LinkSession {
  static final String TAG = "sandkeeper-link";

  private static final String VERSION = "1";

  /** By a name of the relay's there is a socket of this server. */
  private static final Map<String, String> SOCKETS =
      Map.of("engine", Guest.ENGINE_SOCKET, "egress", Guest.EGRESS_SOCKET);

  /** As many as the relay takes. */
  private static final int MAX_CONNECTIONS = 512;

  /** What one piece carries up at most. */
  private static final int MAX_BATCH_BYTES = 256 * 1024;

  private static final int MAX_ERROR_BYTES = 4 * 1024;

  private final Envd envd;
  private final Path folder;
  private final E2bSettings.LinkTimes times;
  private final LinkFrame.Unpacker unpacker = new LinkFrame.Unpacker();
  private final Outbox outbox = new Outbox();
  private final Map<Integer, LinkConnection> connections = new ConcurrentHashMap<>();
  private final AtomicReference<@Nullable E2bException> broken = new AtomicReference<>();
  private final AtomicReference<@Nullable ProcessStream> stream = new AtomicReference<>();
  private final StringBuilder errors = new StringBuilder();
  private int lastConnection;
  private volatile long heardNanos = System.nanoTime();
  private volatile long pid;
  private volatile boolean greeted;
  private volatile long greetedNanos;

  /** Whether the relay has heard anything. */
  private volatile boolean answered;

  /** What this runs. */
  LinkSession(Envd envd, Path folder, E2bSettings.LinkTimes times) {
    this.envd = envd;
    this.folder = folder;
    this.times = times;
  }

  /** Returns whether the relay listens and hears, and nothing is broken. */
  boolean connected() {
    return answered && broken.get() == null;
  }

  /** Returns whether the relay has listened for so long. */
  boolean heldFor(Duration time) {
    return greeted && System.nanoTime() - greetedNanos >= time.toNanos();
  }

  /**
   * Starts the relay and carries until the link breaks, which it always does once.
   *
   * @throws E2bException how it broke
   */
  void run(Envd.Command relay) {
    try (ProcessStream opened = envd.start(relay, "root", TAG, true)) {
      stream.set(opened);
      // It may have been broken before there was anything to close.
      if (broken.get() == null) {
        Thread.ofVirtual().name("link-pings-", 0).start(this::ping);
        read(opened);
      }
    } catch (E2bException e) {
      breakUp(e);
    } catch (LinkFrame.BrokenException e) {
      breakUp(E2bException.broken("the link broke: " + e.getMessage()));
    } finally {
      outbox.close();
      connections.values().forEach(LinkConnection::drop);
      connections.clear();
    }
    E2bException reason = broken.get();
    throw reason == null ? E2bException.broken("the link broke") : reason;
  }

  private void read(ProcessStream opened) throws LinkFrame.BrokenException {
    for (Optional<ProcessEvent> event = opened.next(); event.isPresent(); event = opened.next()) {
      switch (event.get()) {
        case ProcessEvent.Started started -> {
          pid = started.pid();
          Thread.ofVirtual().name("link-up-", 0).start(this::carryUp);
        }
        case ProcessEvent.Stdout(ByteBuffer data) -> hear(data);
        case ProcessEvent.Stderr(ByteBuffer data) -> {
          if (errors.length() < MAX_ERROR_BYTES) {
            errors.append(StandardCharsets.UTF_8.decode(data));
          }
        }
        case ProcessEvent.Ended ended ->
            throw new LinkFrame.BrokenException(
                HttpCalls.line("the relay ended: " + ended.status() + " " + errors).strip());
        case ProcessEvent.Silence _ -> {}
      }
    }
    throw new LinkFrame.BrokenException("the stream ended");
  }

  private void hear(ByteBuffer data) throws LinkFrame.BrokenException {
    heardNanos = System.nanoTime();
    unpacker.add(data);
    for (Optional<LinkFrame> frame = unpacker.next(); frame.isPresent(); frame = unpacker.next()) {
      obey(frame.get());
    }
  }

  private void obey(LinkFrame frame) throws LinkFrame.BrokenException {
    if (!greeted && frame.kind() != Kind.HELLO) {
      throw new LinkFrame.BrokenException("no greeting");
    }
    Optional<LinkConnection> connection = Optional.ofNullable(connections.get(frame.connection()));
    switch (frame.kind()) {
      case HELLO -> greet(text(frame.payload()));
      case OPEN -> open(frame.connection(), text(frame.payload()));
      case PONG -> answered = true;
      case PING -> outbox.add(Kind.PONG, LinkFrame.NO_CONNECTION, ByteBuffer.allocate(0));
      // What is under way when a connection ends here comes too late, and is nobody's.
      case DATA -> {
        if (connection.isPresent()) {
          connection.get().data(frame.payload());
        }
      }
      case WINDOW -> {
        if (frame.payload().remaining() != Integer.BYTES) {
          throw new LinkFrame.BrokenException("credit of no number");
        }
        if (connection.isPresent()) {
          connection.get().window(frame.payload().getInt());
        }
      }
      case END -> connection.ifPresent(LinkConnection::end);
      case RESET -> connection.ifPresent(LinkConnection::agentGone);
    }
  }

  private void greet(String version) throws LinkFrame.BrokenException {
    if (!version.equals(VERSION) || greeted) {
      throw new LinkFrame.BrokenException("greeting " + HttpCalls.line(version));
    }
    greetedNanos = System.nanoTime();
    greeted = true;
    // The greeting says only that one way is open.
    outbox.add(Kind.PING, LinkFrame.NO_CONNECTION, ByteBuffer.allocate(0));
  }

  private void open(int number, String name) throws LinkFrame.BrokenException {
    String socket = SOCKETS.get(name);
    if (socket == null || number <= lastConnection || connections.size() >= MAX_CONNECTIONS) {
      throw new LinkFrame.BrokenException(
          "connection " + number + " to " + HttpCalls.line(name) + " beside " + connections.size());
    }
    lastConnection = number;
    try {
      LinkConnection connection =
          new LinkConnection(
              number, folder.resolve(socket), outbox, () -> connections.remove(number));
      connections.put(number, connection);
      connection.start();
    } catch (IOException e) {
      outbox.add(Kind.RESET, number, ByteBuffer.allocate(0));
    }
  }

  private static String text(ByteBuffer payload) {
    return StandardCharsets.UTF_8.decode(payload).toString();
  }

  /** Sends what waits, one piece after the other; none is sent twice. */
  private void carryUp() {
    try (ProcessInput input = envd.openInput(pid, this::inputBroke)) {
      while (true) {
        byte[] batch = outbox.take(MAX_BATCH_BYTES);
        if (batch.length == 0) {
          return;
        }
        input.write(batch);
      }
    } catch (E2bException e) {
      breakUp(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void inputBroke(E2bException reason) {
    if (!answered && reason.kind() == E2bException.Kind.REFUSED) {
      envd.giveUpStreams();
    }
    breakUp(reason);
  }

  /** Asks for signs of life, and breaks the link when there are none. */
  private void ping() {
    try {
      while (broken.get() == null) {
        Thread.sleep(times.ping());
        if (System.nanoTime() - heardNanos > times.silence().toNanos()) {
          Duration silence = times.silence();
          breakUp(E2bException.broken("the link broke: no sign of life for " + silence));
          return;
        }
        if (heldFor(times.ping()) && !answered) {
          envd.giveUpStreams();
          breakUp(E2bException.broken("the link broke: what is sent does not get there"));
          return;
        }
        if (!outbox.add(Kind.PING, LinkFrame.NO_CONNECTION, ByteBuffer.allocate(0))) {
          breakUp(E2bException.broken("the link broke: nothing can be sent"));
          return;
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Breaks the link; only the first reason counts. */
  void breakUp(E2bException reason) {
    broken.compareAndSet(null, reason);
    outbox.close();
    ProcessStream opened = stream.get();
    if (opened != null) {
      opened.close();
    }
  }

  /** Ends the relay, which would otherwise notice by itself later. */
  void endRelay() {
    if (pid != 0) {
      envd.sendSignal(pid, Envd.Signal.SIGKILL);
    }
  }
}
