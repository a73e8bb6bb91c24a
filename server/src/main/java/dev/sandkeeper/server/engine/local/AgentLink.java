package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The engine's end of one sandbox's socket: takes the connections its agent dials and hands each to
 * who waits for it. Only the agent's user id can open the socket.
 */
final class AgentLink implements AutoCloseable {

  private static final Logger logger = LoggerFactory.getLogger(AgentLink.class);

  /** More than an agent has children. */
  private static final int MAX_CONNECTIONS = 256;

  private static final int MAX_QUEUED_COMMANDS = 1024;

  /** What a supervisor of commands runs, in the agent's words. */
  static final String COMMAND = "command";

  /** Stands for a supervisor that is to wait for work. */
  private static final String NO_NAME = "";

  private static final int MAX_SOCKET_PATH_BYTES = 107;

  private final Path socket;
  private final Events events;
  private final Map<String, CompletableFuture<Connection>> expected = new ConcurrentHashMap<>();
  private final BlockingQueue<Command> commands = new LinkedBlockingQueue<>(MAX_QUEUED_COMMANDS);
  private final IdleConnections idle = new IdleConnections();

  /** Whether a supervisor that waits for a command was asked for and has not come. */
  private final AtomicBoolean spareAsked = new AtomicBoolean();

  private final Semaphore connections = new Semaphore(MAX_CONNECTIONS);
  private final CountDownLatch firstControl = new CountDownLatch(1);
  private final ServerSocketChannel listener;

  /** The control connection of now; guarded by this. */
  private List<Connection> control = List.of();

  private volatile boolean closed;

  /** Whether all executions of earlier engines that are still wanted are among the expected. */
  private volatile boolean endsUnknown;

  /** Told what the control connection says. */
  interface Events {
    /** The agent is about to end the sandbox by itself. */
    void goodbye(String reason);

    /** The agent's control connection ended. */
    void controlLost();
  }

  private record Command(int type, long offset, Fields fields) {}

  /**
   * Begins to listen.
   *
   * @param folder gets the socket; the agent's group may enter it
   * @param agentUid the agent's user and group id in this process's namespace
   */
  AgentLink(Path folder, int agentUid, Events events) throws IOException {
    this.socket = folder.resolve("engine.sock");
    this.events = events;
    checkLength(socket);
    Files.deleteIfExists(socket);
    listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    try {
      listener.bind(UnixDomainSocketAddress.of(socket));
      Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
      Files.setAttribute(socket, "unix:uid", agentUid);
      Files.setAttribute(folder, "unix:gid", agentUid);
      Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx--x---"));
    } catch (IOException | RuntimeException e) {
      listener.close();
      throw e;
    }
    Thread.ofVirtual().name("agent-link-", 0).start(this::accept);
  }

  /** Fails when a socket of this path could not be made. */
  static void checkLength(Path socket) {
    int length = socket.toString().getBytes(java.nio.charset.StandardCharsets.UTF_8).length;
    if (length > MAX_SOCKET_PATH_BYTES) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE,
          "the path of the state folder is too long for sockets: "
              + socket
              + " ("
              + length
              + " bytes, expected: <= "
              + MAX_SOCKET_PATH_BYTES
              + ")");
    }
  }

  /** Waits for the agent's first control connection. */
  boolean awaitControl(Duration timeout) {
    try {
      return firstControl.await(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** Returns whether the agent is connected now. */
  synchronized boolean connected() {
    return !control.isEmpty();
  }

  /**
   * Counts an execution in.
   *
   * @return whether it may take an idle connection: a context runs one thing after the other, and a
   *     second one is not to wait where nobody sees how long
   */
  boolean enter(String target) {
    return idle.enter(target) == 0 || target.equals(COMMAND);
  }

  /** Counts an execution out. */
  void leave(String target) {
    idle.leave(target);
  }

  /** Returns a connection over which a supervisor of what is to run waits already, if one does. */
  Optional<Connection> takeIdle(String target) {
    Optional<Connection> taken = idle.take(target);
    if (target.equals(COMMAND)) {
      askForSpare();
    }
    return taken;
  }

  /** Keeps a connection whose execution is over, for the next one. */
  void giveBack(String target, Connection connection) {
    idle.put(target, connection);
  }

  /** Closes the connections over which a target waits for work. */
  void dismissIdle(String target) {
    idle.dismiss(target);
  }

  /** Ends all that waits for work, now and from now on. */
  void dismissIdle() {
    idle.close();
  }

  /**
   * Has the agent make a supervisor that waits for a command, unless one waits or is on its way.
   */
  void askForSpare() {
    if (idle.isEmpty(COMMAND)
        && spareAsked.compareAndSet(false, true)
        && !offer(new Command(Frame.OPEN, 0, new Fields().add(NO_NAME, COMMAND)))) {
      spareAsked.set(false);
    }
  }

  /** Returns what completes with the connection that an execution or transfer will dial. */
  CompletableFuture<Connection> expect(String name) {
    CompletableFuture<Connection> future = new CompletableFuture<>();
    expected.put(name, future);
    return future;
  }

  /**
   * Ends executions of earlier engines that nobody expects. Until then their supervisors go on
   * looking for their engine.
   */
  void endUnknown() {
    endsUnknown = true;
  }

  /** Stops waiting: a connection of that name is closed when it comes. */
  void forget(String name) {
    CompletableFuture<Connection> future = expected.remove(name);
    if (future != null) {
      future.cancel(false);
    }
  }

  /**
   * Sends a command on the control connection, without waiting for the agent to read it.
   *
   * @throws EngineException {@code FAILED} when the agent has not read for very long
   */
  void send(int type, long offset, Fields fields) {
    if (!offer(new Command(type, offset, fields))) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's agent does not answer any more");
    }
  }

  private boolean offer(Command command) {
    return !closed && commands.offer(command);
  }

  private void accept() {
    while (!closed) {
      try {
        SocketChannel channel = listener.accept();
        if (!connections.tryAcquire()) {
          channel.close();
          continue;
        }
        Thread.ofVirtual().name("agent-connection-", 0).start(() -> greet(channel));
      } catch (IOException e) {
        if (!closed) {
          logger.atWarn().addKeyValue("socket", socket).setCause(e).log("Cannot accept an agent");
        }
        return;
      }
    }
  }

  private void greet(SocketChannel channel) {
    Connection connection = new Connection(channel);
    try {
      Frame hello = connection.read();
      List<String> fields = hello.texts(3);
      if (hello.type() != Frame.HELLO || !fields.getFirst().equals(Guest.PROTOCOL)) {
        throw new ProtocolException("a first frame of type " + hello.type());
      }
      if (fields.get(1).equals("control")) {
        serveControl(connection);
        return;
      }
      if (fields.get(1).equals("ready") && fields.get(2).equals(COMMAND)) {
        idle.put(COMMAND, connection);
        spareAsked.set(false);
        return;
      }
      CompletableFuture<Connection> future = expected.remove(fields.get(2));
      if (future == null || !future.complete(connection)) {
        if (endsUnknown && fields.get(1).equals("resume")) {
          connection.write(Frame.FORGET, 0);
        }
        connection.close();
      }
    } catch (IOException e) {
      connection.close();
    } finally {
      connections.release();
    }
  }

  private void serveControl(Connection connection) throws IOException {
    synchronized (this) {
      control.forEach(Connection::close);
      control = List.of(connection);
    }
    // What was asked for over the one before may never have arrived.
    spareAsked.set(false);
    Thread writer = Thread.ofVirtual().name("agent-control-", 0).start(() -> write(connection));
    firstControl.countDown();
    try {
      while (true) {
        Frame frame = connection.read();
        switch (frame.type()) {
          case Frame.REFUSED -> refused(frame.texts(2));
          case Frame.GOODBYE -> events.goodbye(frame.texts(1).getFirst());
          default -> throw new ProtocolException("control frame type " + frame.type());
        }
      }
    } catch (IOException e) {
      connection.close();
    } finally {
      writer.interrupt();
      boolean lost;
      synchronized (this) {
        lost = control.contains(connection);
        if (lost) {
          control = List.of();
        }
      }
      if (lost && !closed) {
        events.controlLost();
      }
    }
  }

  private void refused(List<String> fields) {
    if (fields.getFirst().equals(NO_NAME)) {
      spareAsked.set(false);
      return;
    }
    CompletableFuture<Connection> future = expected.remove(fields.getFirst());
    if (future != null) {
      future.completeExceptionally(
          new EngineException(
              EngineException.Kind.FAILED,
              "the sandbox cannot start another execution: " + fields.getLast()));
    }
  }

  private void write(Connection connection) {
    try {
      while (true) {
        Command command = commands.take();
        connection.write(command.type(), command.offset(), command.fields());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (IOException e) {
      connection.close();
    }
  }

  /** Stops listening and drops every connection that nobody took. */
  @Override
  public void close() {
    closed = true;
    try {
      listener.close();
    } catch (IOException e) {
      logger.atWarn().addKeyValue("socket", socket).setCause(e).log("Cannot close a socket");
    }
    synchronized (this) {
      control.forEach(Connection::close);
    }
    dismissIdle();
    expected.values().forEach(future -> future.cancel(false));
    expected.clear();
  }
}
