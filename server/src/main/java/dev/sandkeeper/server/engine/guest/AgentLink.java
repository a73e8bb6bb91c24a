package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingDeque;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The engine's end of one sandbox's socket: takes the connections its agent dials and hands each to
 * who waits for it. Only the agent's user id can open the socket.
 */
final class AgentLink implements AutoCloseable {

  /** How long the agent may take to dial; much more than it does. */
  private static final Duration DIAL_TIME = Duration.ofSeconds(10);

  private static final Logger logger = LoggerFactory.getLogger(AgentLink.class);

  /** More than an agent has children. */
  private static final int MAX_CONNECTIONS = 256;

  private static final int MAX_QUEUED_COMMANDS = 1024;

  /** What a supervisor of commands runs, in the agent's words. */
  static final String COMMAND = "command";

  /** Before the name by which an execution is expected that runs. */
  private static final String RESUMED = "resumed ";

  /** Stands for a supervisor that is to wait for work. */
  private static final String NO_NAME = "";

  private static final int MAX_SOCKET_PATH_BYTES = 107;

  private final Path socket;
  private final GuestHost host;
  private final Map<String, CompletableFuture<Connection>> expected = new ConcurrentHashMap<>();

  /** How those of the expected were asked for that an order of ours is to make dial. */
  private final Map<String, Command> orders = new ConcurrentHashMap<>();

  private final BlockingDeque<Command> commands = new LinkedBlockingDeque<>(MAX_QUEUED_COMMANDS);
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

  private record Command(int type, long offset, Fields fields) {}

  /**
   * Begins to listen.
   *
   * @param folder gets the socket
   * @param owner who may open it
   * @param host told of the control connection
   */
  AgentLink(Path folder, SocketOwner owner, GuestHost host) throws IOException {
    this.socket = folder.resolve(Guest.ENGINE_SOCKET);
    this.host = host;
    listener = listen(socket, owner);
    try {
      owner.giveFolder(folder);
    } catch (IOException | RuntimeException e) {
      listener.close();
      throw e;
    }
    Thread.ofVirtual().name("agent-link-", 0).start(this::accept);
  }

  /** Listens on a socket that only its owner can open. */
  static ServerSocketChannel listen(Path socket, SocketOwner owner) throws IOException {
    checkLength(socket);
    Files.deleteIfExists(socket);
    ServerSocketChannel channel = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    try {
      channel.bind(UnixDomainSocketAddress.of(socket));
      owner.giveSocket(socket);
      return channel;
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
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

  /** Returns what completes with the connection that an execution which runs will dial anew. */
  CompletableFuture<Connection> expectAgain(String name) {
    return expect(RESUMED + name);
  }

  /** Stops waiting for an execution that runs. */
  void forgetAgain(String name) {
    forget(RESUMED + name);
  }

  /**
   * Has the agent dial, and waits for the connection.
   *
   * @param name what it dials by, which is used once
   * @param target what serves the connection
   * @param failed makes the failure when none comes
   * @throws EngineException the agent's refusal, or what {@code failed} makes
   */
  Connection call(String name, String target, Function<Exception, EngineException> failed) {
    CompletableFuture<Connection> dialled = expect(name);
    try {
      order(name, target);
      return dialled.get(DIAL_TIME.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw failed.apply(e);
    } catch (TimeoutException | CancellationException e) {
      throw failed.apply(e);
    } catch (ExecutionException e) {
      throw e.getCause() instanceof EngineException refusal ? refusal : failed.apply(e);
    } finally {
      forget(name);
    }
  }

  /**
   * Has the agent make what dials by an expected name. Over the next control connection as well,
   * when this one is lost before it has: what dials twice by a name is heard once.
   *
   * @throws EngineException {@code FAILED} when the agent has not read for very long
   */
  void order(String name, String target) {
    Command command = new Command(Frame.OPEN, 0, new Fields().add(name, target));
    orders.put(name, command);
    if (!offer(command)) {
      orders.remove(name);
      throw unheard();
    }
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
    orders.remove(name);
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
      throw unheard();
    }
  }

  /** As {@link #send}, before all that waits to be sent. */
  void sendFirst(int type, long offset, Fields fields) {
    if (closed || !commands.offerFirst(new Command(type, offset, fields))) {
      throw unheard();
    }
  }

  private static EngineException unheard() {
    return new EngineException(
        EngineException.Kind.FAILED, "the sandbox's agent does not answer any more");
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
      boolean resumes = fields.get(1).equals("resume");
      String name = resumes ? RESUMED + fields.get(2) : fields.get(2);
      orders.remove(name);
      CompletableFuture<Connection> future = expected.remove(name);
      if (future == null || !future.complete(connection)) {
        if (endsUnknown && resumes) {
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
    boolean first = firstControl.getCount() > 0;
    Thread writer = Thread.ofVirtual().name("agent-control-", 0).start(() -> write(connection));
    host.controlGained();
    if (!first) {
      for (Command order : orders.values()) {
        // One that still waits goes out once.
        commands.remove(order);
        offer(order);
      }
    }
    firstControl.countDown();
    try {
      while (true) {
        Frame frame = connection.read();
        switch (frame.type()) {
          case Frame.REFUSED -> refused(frame.texts(2));
          case Frame.GOODBYE -> host.goodbye(frame.texts(1).getFirst());
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
        host.controlLost();
      }
    }
  }

  private void refused(List<String> fields) {
    if (fields.getFirst().equals(NO_NAME)) {
      spareAsked.set(false);
      return;
    }
    orders.remove(fields.getFirst());
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
    orders.clear();
  }
}
