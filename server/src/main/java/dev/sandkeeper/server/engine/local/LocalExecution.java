package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.OutputStreamKind;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One execution: reads what its supervisor sends and tells the listener. */
final class LocalExecution implements EngineExecution {

  private static final Logger logger = LoggerFactory.getLogger(LocalExecution.class);

  private static final int SIGKILL = 9;

  /** What a shell returns for a command that SIGKILL ended. */
  private static final int SHELL_KILLED = 128 + SIGKILL;

  private static final int MAX_EXIT_CODE = 255;
  private static final int MAX_SIGNAL = 64;
  private static final int MAX_EARLY_SIGNALS = 16;

  /** The number in the last frame when the supervisor waits for another request. */
  private static final int STAYS = 1;

  /** A supervisor dials within milliseconds; a cell waits for those before it. */
  private static final Duration DIAL_TIME = Duration.ofSeconds(10);

  private final ExecutionSpec spec;
  private final String target;
  private final ExecutionListener listener;
  private final Host host;
  private final AgentLink link;

  // Guarded by this: signals asked for before there is a connection wait for it.
  private final List<Integer> earlySignals = new ArrayList<>();
  private List<Connection> connection = List.of();
  private boolean killedByUs;

  /** What an execution needs to know of its sandbox. */
  interface Host {
    /** How many processes the kernel has killed there for want of memory. */
    long outOfMemoryKills();

    /** Why an execution lost its connection; waits a moment to see whether the sandbox ended. */
    ExecutionEnd.Reason whyLost();

    /** Whether the sandbox is being ended, which begins with a signal to its programs. */
    boolean isEnding();
  }

  /**
   * Prepares an execution.
   *
   * @param target what it runs in, in the agent's words
   */
  LocalExecution(
      ExecutionSpec spec, String target, ExecutionListener listener, Host host, AgentLink link) {
    this.spec = spec;
    this.target = target;
    this.listener = listener;
    this.host = host;
    this.link = link;
  }

  @Override
  public ExecutionId id() {
    return spec.id();
  }

  @Override
  public void signal(int number) {
    if (number < 1 || number > MAX_SIGNAL) {
      throw new IllegalArgumentException(
          "signal: " + number + " (expected: 1 to " + MAX_SIGNAL + ")");
    }
    // Sent under the lock: after the end the connection belongs to another execution.
    synchronized (this) {
      killedByUs |= number == SIGKILL;
      if (connection.isEmpty() && earlySignals.size() < MAX_EARLY_SIGNALS) {
        earlySignals.add(number);
      }
      for (Connection open : connection) {
        try {
          open.write(Frame.SIGNAL, number);
        } catch (IOException e) {
          // It is over: its end is told where frames are read.
          logger.atDebug().addKeyValue("execution_id", spec.id()).log("Signal came after the end");
        }
      }
    }
  }

  /** Drops the connection: the agent ends what it ran. */
  synchronized void letGo() {
    connection.forEach(Connection::close);
  }

  /** Runs the conversation to its end; the listener hears of everything, also of failure. */
  void run() {
    long startNanos = System.nanoTime();
    long killsBefore = host.outOfMemoryKills();
    ExecutionEnd end;
    boolean mayTakeIdle = link.enter(target);
    try {
      end = converse(open(startNanos, mayTakeIdle), killsBefore);
    } catch (TimeoutException e) {
      end = ExecutionEnd.of(ExecutionEnd.Reason.DEADLINE);
    } catch (Refused e) {
      listener.error(new CodeError("Refused", e.why, ""));
      end = ExecutionEnd.of(ExecutionEnd.Reason.NOT_STARTED);
    } catch (IOException | EngineException e) {
      logger
          .atDebug()
          .addKeyValue("execution_id", spec.id())
          .addKeyValue("cause", e.toString())
          .log("Lost the connection of an execution");
      end = ExecutionEnd.of(host.whyLost());
    } finally {
      link.leave(target);
    }
    listener.finished(end);
  }

  /** Sends the request to a supervisor that waits, or else to one that is asked to dial. */
  private Connection open(long startNanos, boolean mayTakeIdle)
      throws IOException, TimeoutException {
    Optional<Connection> idle = mayTakeIdle ? link.takeIdle(target) : Optional.empty();
    while (idle.isPresent()) {
      try {
        idle.get().write(Frame.REQUEST, 0, request(startNanos));
        return idle.get();
      } catch (IOException e) {
        // It is gone, and cannot have read the request whole.
        idle.get().close();
        idle = link.takeIdle(target);
      }
    }
    String name = spec.id().value();
    CompletableFuture<Connection> dialled = link.expect(name);
    try {
      link.send(Frame.OPEN, 0, new Fields().add(name, target));
      Connection open = await(dialled);
      try {
        open.write(Frame.REQUEST, 0, request(startNanos));
      } catch (IOException e) {
        open.close();
        throw e;
      }
      return open;
    } finally {
      link.forget(name);
    }
  }

  /** The agent would not start it. */
  private static final class Refused extends IOException {
    private static final long serialVersionUID = 1L;

    private final String why;

    Refused(EngineException cause) {
      super(cause);
      why = String.valueOf(cause.getMessage());
    }
  }

  private Connection await(CompletableFuture<Connection> dialled)
      throws IOException, TimeoutException {
    try {
      return dialled.get(spec.deadline().plus(DIAL_TIME).toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    } catch (CancellationException e) {
      throw new IOException("the link was closed", e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof EngineException refusal) {
        throw new Refused(refusal);
      }
      throw new IOException(e);
    }
  }

  private synchronized void connect(Connection open) throws IOException {
    connection = List.of(open);
    for (int signal : earlySignals) {
      open.write(Frame.SIGNAL, signal);
    }
  }

  private synchronized void disconnect() {
    connection = List.of();
  }

  private Fields request(long startNanos) {
    Duration left = spec.deadline().minusNanos(System.nanoTime() - startNanos);
    Fields fields = new Fields();
    switch (spec.run()) {
      case ExecutionSpec.Command command ->
          command.argv().forEach(argument -> fields.add("argv", argument));
      case ExecutionSpec.Code code -> fields.add("source", code.source());
    }
    spec.workingDirectory().ifPresent(folder -> fields.add("cwd", folder));
    spec.environment().forEach((name, value) -> fields.add("env", name + "=" + value));
    fields.add("deadline", Long.toString(Math.max(0, left.toMillis())));
    return fields.add("stdin", spec.stdin());
  }

  private ExecutionEnd converse(Connection open, long killsBefore) throws IOException {
    boolean stays = false;
    try {
      connect(open);
      Frame finished = listen(open);
      ExecutionEnd end = end(finished.texts(5), killsBefore);
      stays = finished.offset() == STAYS;
      return end;
    } finally {
      disconnect();
      if (stays) {
        link.giveBack(target, open);
      } else {
        open.close();
      }
    }
  }

  /** Tells the listener what comes; returns the last frame. */
  private Frame listen(Connection open) throws IOException {
    Map<OutputStreamKind, Long> offsets = new EnumMap<>(OutputStreamKind.class);
    while (true) {
      Frame frame = open.read();
      switch (frame.type()) {
        case Frame.STARTED -> listener.started((int) frame.offset());
        case Frame.STDOUT -> output(OutputStreamKind.STDOUT, frame, offsets);
        case Frame.STDERR -> output(OutputStreamKind.STDERR, frame, offsets);
        case Frame.RESULT -> listener.result(result(frame));
        case Frame.ERROR -> {
          List<String> texts = frame.texts(3);
          listener.error(new CodeError(texts.get(0), texts.get(1), texts.get(2)));
        }
        case Frame.FINISHED -> {
          return frame;
        }
        default -> throw new ProtocolException("execution frame type " + frame.type());
      }
    }
  }

  private void output(OutputStreamKind kind, Frame frame, Map<OutputStreamKind, Long> offsets)
      throws IOException {
    long expected = offsets.getOrDefault(kind, 0L);
    if (frame.offset() != expected || !frame.payload().hasRemaining()) {
      throw new ProtocolException("output at " + frame.offset());
    }
    offsets.put(kind, expected + frame.payload().remaining());
    listener.output(kind, frame.payload());
  }

  private static Map<String, byte[]> result(Frame frame) throws IOException {
    List<byte[]> fields = frame.fields();
    if (fields.isEmpty() || fields.size() % 2 != 0) {
      throw new ProtocolException("a result of " + fields.size() + " fields");
    }
    Map<String, byte[]> values = new LinkedHashMap<>();
    for (int i = 0; i < fields.size(); i += 2) {
      values.put(
          new String(fields.get(i), java.nio.charset.StandardCharsets.UTF_8), fields.get(i + 1));
    }
    return values;
  }

  private ExecutionEnd end(List<String> fields, long killsBefore) throws IOException {
    OptionalInt exitCode = narrow(number(fields.get(1)), MAX_EXIT_CODE);
    OptionalInt signal = narrow(number(fields.get(2)), MAX_SIGNAL);
    ExecutionEnd.Reason reason =
        switch (fields.getFirst()) {
          case "completed" -> ExecutionEnd.Reason.COMPLETED;
          case "signaled" -> ExecutionEnd.Reason.SIGNALED;
          case "deadline" -> ExecutionEnd.Reason.DEADLINE;
          case "not-started" -> ExecutionEnd.Reason.NOT_STARTED;
          default -> throw new ProtocolException("end " + fields.getFirst());
        };
    boolean killed = signal.orElse(0) == SIGKILL || exitCode.orElse(0) == SHELL_KILLED;
    boolean ours = reason == ExecutionEnd.Reason.DEADLINE || wasKilledByUs();
    if (killed && !ours && host.outOfMemoryKills() > killsBefore) {
      reason = ExecutionEnd.Reason.OUT_OF_MEMORY;
    } else if (reason == ExecutionEnd.Reason.SIGNALED && !ours && host.isEnding()) {
      reason = ExecutionEnd.Reason.SANDBOX_ENDED;
    }
    return new ExecutionEnd(reason, exitCode, signal, number(fields.get(3)), number(fields.get(4)));
  }

  private synchronized boolean wasKilledByUs() {
    return killedByUs;
  }

  private static OptionalLong number(String text) throws ProtocolException {
    if (text.isEmpty()) {
      return OptionalLong.empty();
    }
    try {
      long value = Long.parseLong(text);
      if (value >= 0) {
        return OptionalLong.of(value);
      }
    } catch (NumberFormatException e) {
      throw new ProtocolException("a number expected");
    }
    throw new ProtocolException("a number of 0 or more expected");
  }

  private static OptionalInt narrow(OptionalLong value, int most) throws ProtocolException {
    if (value.isEmpty()) {
      return OptionalInt.empty();
    }
    if (value.getAsLong() > most) {
      throw new ProtocolException("a number up to " + most + " expected");
    }
    return OptionalInt.of((int) value.getAsLong());
  }
}
