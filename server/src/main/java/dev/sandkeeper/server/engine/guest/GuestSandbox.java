package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.EngineConnection;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineContexts;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.RunningExecution;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.io.IOException;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;

/** What a sandbox does by its agent. Ending, pausing and metering it is its engine's. */
public final class GuestSandbox implements AutoCloseable {

  /** The most a request may carry: source, stdin and variables together. */
  static final int MAX_REQUEST_BYTES = 64 * 1024 * 1024;

  private final Path folder;
  private final SocketOwner owner;
  private final GuestHost host;
  private final AgentLink link;
  private final GuestFiles files;
  private final GuestPorts ports;
  private final GuestContexts contexts;

  /** What runs, to be let go of with the sandbox. */
  private final Set<GuestExecution> executions = ConcurrentHashMap.newKeySet();

  // Guarded by this.
  private Optional<EgressSocket> egress = Optional.empty();

  /**
   * Begins to listen for the agent.
   *
   * @param folder gets the sockets
   * @param owner who may open them
   * @param host the sandbox it is in
   * @param patience how long workers inside may keep a transfer waiting
   * @param contextsFile where its contexts stand
   * @param languages it has interpreters for
   * @throws EngineException {@code FAILED} when the folder cannot be listened in
   */
  public GuestSandbox(
      Path folder,
      SocketOwner owner,
      GuestHost host,
      Patience patience,
      Path contextsFile,
      Set<Language> languages) {
    this.folder = folder;
    this.owner = owner;
    this.host = host;
    try {
      link = new AgentLink(folder, owner, host);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "cannot listen for the agent in " + folder, e);
    }
    files = new GuestFiles(link, patience, host::requireAwake);
    ports = new GuestPorts(link, patience, host::requireAwake);
    contexts = new GuestContexts(contextsFile, link, host::requireAwake, languages);
  }

  /**
   * Checks a folder for sockets.
   *
   * @throws EngineException {@code UNAVAILABLE} when its path is longer than sockets may have
   */
  public static void checkLength(Path folder) {
    AgentLink.checkLength(folder.resolve(Guest.ENGINE_SOCKET));
  }

  /** Waits for the agent's control connection; true when it came in time. */
  public boolean awaitAgent(Duration timeout) {
    return link.awaitControl(timeout);
  }

  /** Returns whether the agent is connected now. */
  public boolean connected() {
    return link.connected();
  }

  /** Gives the agent of a new sandbox what every execution begins with, and gets ready for one. */
  public void setUp(SandboxSpec spec) {
    link.endUnknown();
    sendEnvironment(spec);
    getReady();
  }

  private void sendEnvironment(SandboxSpec spec) {
    Map<String, String> environment = new HashMap<>(Guest.ENVIRONMENT);
    if (spec.network()) {
      environment.putAll(Guest.PROXY_ENVIRONMENT);
    }
    environment.putAll(spec.environment());
    Fields fields = new Fields();
    environment.forEach((name, value) -> fields.add(name + "=" + value));
    // What waits for the agent already is to begin with it.
    link.sendFirst(Frame.SETUP, 0, fields);
  }

  /** Has something wait for the next command. */
  public void getReady() {
    link.askForSpare();
  }

  /** Has the agent end the sandbox after this time, and not before. */
  public void renew(Duration paid) {
    link.send(Frame.RENEW, paid.toMillis(), new Fields());
  }

  /** Has the agent signal every process of the user's to end, and itself when they have. */
  public void stop(Duration grace) {
    // What waits for the next command is the user's too, and would be waited for.
    link.dismissIdle();
    link.send(Frame.STOP, grace.toMillis(), new Fields());
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#start}. */
  public EngineExecution start(ExecutionSpec spec, ExecutionListener listener) {
    host.requireAwake();
    checkSize(spec);
    Target target = target(spec);
    GuestExecution execution =
        new GuestExecution(
            spec.id(),
            0,
            listener,
            host,
            contexts,
            link,
            GuestInput.of(spec.stdio(), host.outlivesConnections()));
    run(
        execution,
        () -> {
          execution.start(spec, target);
          contexts.ended(target);
        });
    return execution;
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#takeUp}. */
  public List<EngineExecution> takeUp(List<RunningExecution> running) {
    List<EngineExecution> handles = new ArrayList<>();
    for (RunningExecution before : running) {
      GuestExecution execution =
          new GuestExecution(
              before.id(),
              before.told(),
              before.listener(),
              host,
              contexts,
              link,
              GuestInput.takenUp(host.outlivesConnections()));
      CompletableFuture<Connection> dialled = link.expectAgain(before.id().value());
      run(execution, () -> execution.resume(dialled));
      handles.add(execution);
    }
    link.endUnknown();
    return handles;
  }

  private void run(GuestExecution execution, Runnable conversation) {
    Thread.ofVirtual()
        .name("execution-" + execution.id())
        .start(() -> {
          executions.add(execution);
          try {
            conversation.run();
          } finally {
            executions.remove(execution);
          }
        });
  }

  private Target target(ExecutionSpec spec) {
    if (!(spec.run() instanceof ExecutionSpec.Code code)
        || (code.language() == Language.BASH && code.contextId().isEmpty())) {
      return Target.COMMAND;
    }
    if (code.language() != Language.PYTHON) {
      requireNone("workingDirectory", spec.workingDirectory().isPresent());
      requireNone("environment", !spec.environment().isEmpty());
      requireNone("stdin", spec.stdio().stdin().length > 0);
    }
    requireNone("open stdin", spec.stdio().keepsOpen());
    requireNone("terminal", spec.stdio().terminal().isPresent());
    ContextId id = code.contextId().orElseGet(() -> EngineContext.byDefault(code.language()).id());
    return contexts
        .target(id, code.language())
        .orElseThrow(() ->
            new EngineException(
                EngineException.Kind.CONTEXT_GONE,
                "the sandbox has no context " + id + " of " + code.language()));
  }

  private static void requireNone(String field, boolean present) {
    if (present) {
      throw new IllegalArgumentException(
          field + " of code that runs in a context (expected: none)");
    }
  }

  private static void checkSize(ExecutionSpec spec) {
    long bytes = spec.stdio().stdin().length;
    if (spec.run() instanceof ExecutionSpec.Code code) {
      bytes += code.source().getBytes(StandardCharsets.UTF_8).length;
    }
    if (bytes > MAX_REQUEST_BYTES) {
      throw new IllegalArgumentException(
          "source and stdin: " + bytes + " bytes (expected: <= " + MAX_REQUEST_BYTES + ")");
    }
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#openNetwork}. */
  public void openNetwork(Consumer<SocketChannel> connections) {
    try {
      synchronized (this) {
        egress = Optional.of(new EgressSocket(folder, owner, connections));
      }
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "cannot listen for connections in " + folder, e);
    }
  }

  /** Returns the contexts of the sandbox. */
  public EngineContexts contexts() {
    return contexts;
  }

  /** Returns the files of the sandbox. */
  public EngineFiles files() {
    return files;
  }

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#connect}. */
  public EngineConnection connect(int port) {
    return ports.connect(port);
  }

  /** Drops the connections of what runs, which goes on and is kept for the next engine object. */
  public void letGo() {
    close();
    executions.forEach(GuestExecution::letGo);
  }

  /** Stops listening. */
  @Override
  public void close() {
    link.close();
    synchronized (this) {
      egress.ifPresent(EgressSocket::close);
    }
  }
}
