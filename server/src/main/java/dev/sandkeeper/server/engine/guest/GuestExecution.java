package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.engine.Terminal;
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

/**
 * One execution: reads what its supervisor sends and tells the listener. The supervisor keeps what
 * was not acknowledged, and sends it again over the next connection.
 */
final class GuestExecution implements EngineExecution {

  private static final Logger logger = LoggerFactory.getLogger(GuestExecution.class);

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

  /** A supervisor that has lost its engine looks for it at least twice a second. */
  private static final Duration REDIAL_TIME = Duration.ofSeconds(5);

  /** A quarter of what a supervisor keeps, so that it need not wait for an acknowledgement. */
  private static final int ACKNOWLEDGED_AT_ONCE = 256 * 1024;

  /** What a supervisor counts for a frame beside its payload. */
  private static final int KEPT_FRAME_BYTES = 256;

  private final ExecutionId id;
  private final ExecutionListener listener;
  private final GuestHost host;
  private final GuestContexts contexts;
  private final AgentLink link;
  private final GuestInput input;

  // Guarded by this: signals asked for while there is no connection wait for it.
  private final List<Integer> earlySignals = new ArrayList<>();
  private List<Connection> connection = List.of();
  private boolean killedByUs;

  // Of the thread that runs it.
  private final Map<OutputStreamKind, Long> offsets = new EnumMap<>(OutputStreamKind.class);
  private long told;
  private int unacknowledged;

  /** Whether the next connection goes on with what was heard over another one. */
  private boolean resumes;

  /** How many of the next frames the listener has had, and is not to be told again. */
  private long repeated;

  /** Makes the connection over which an execution is heard of. */
  @FunctionalInterface
  private interface Opening {
    Connection open() throws IOException, TimeoutException;
  }

  /** What the last frame said, and over which connection. */
  private record Last(ExecutionEnd end, Connection connection, boolean stays) {}

  /**
   * Prepares an execution.
   *
   * @param told how many of its frames the listener has had before
   * @param input what is sent for it to read
   */
  GuestExecution(
      ExecutionId id,
      long told,
      ExecutionListener listener,
      GuestHost host,
      GuestContexts contexts,
      AgentLink link,
      GuestInput input) {
    this.id = id;
    this.told = told;
    if (told == 0) {
      // Of one that goes on, the first frame of each says where.
      offsets.put(OutputStreamKind.STDOUT, 0L);
      offsets.put(OutputStreamKind.STDERR, 0L);
    }
    this.listener = listener;
    this.host = host;
    this.contexts = contexts;
    this.link = link;
    this.input = input;
  }

  @Override
  public ExecutionId id() {
    return id;
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
          logger.atDebug().addKeyValue("execution_id", id).log("Signal came after the end");
        }
      }
    }
  }

  @Override
  public long sendInput(long offset, byte[] data) {
    requireAwake();
    return input.send(offset, data);
  }

  @Override
  public void closeInput() {
    requireAwake();
    input.close();
  }

  @Override
  public void resizeTerminal(int rows, int columns) {
    Terminal.checkSize(rows, columns);
    requireAwake();
    input.resize(rows, columns);
  }

  /** A supervisor that is held still reads nothing, and a full connection would hold the caller. */
  private void requireAwake() {
    if (host.isPaused()) {
      throw new EngineException(
          EngineException.Kind.PAUSED, "the sandbox is paused; resume it first");
    }
  }

  /** Drops the connection: what it ran goes on, and is kept for the next engine. */
  synchronized void letGo() {
    input.letGo();
    connection.forEach(Connection::close);
  }

  /**
   * Starts it, and runs the conversation to its end; the listener hears also of failure.
   *
   * @param target what it runs in
   */
  void start(ExecutionSpec spec, Target target) {
    long startNanos = System.nanoTime();
    boolean mayTakeIdle = link.enter(target.waiting());
    run(
        () -> open(spec, target, startNanos, mayTakeIdle),
        Optional.of(target),
        () -> link.leave(target.waiting()));
  }

  /**
   * Goes on with it as {@link #start} does.
   *
   * @param dialled completes with the connection that its supervisor dials
   */
  void resume(CompletableFuture<Connection> dialled) {
    // What it ran in is not known here, so that nothing else can be sent there.
    run(() -> openAgain(dialled), Optional.empty(), () -> {});
  }

  private void run(Opening opening, Optional<Target> target, Runnable leave) {
    long killsBefore = host.outOfMemoryKills();
    ExecutionEnd end;
    Runnable kept = () -> {};
    try {
      Last last = converse(opening.open(), killsBefore);
      end = last.end();
      kept = () -> acknowledgeEnd(last, target);
    } catch (TimeoutException e) {
      end = ExecutionEnd.of(ExecutionEnd.Reason.DEADLINE);
    } catch (Refused e) {
      listener.error(new CodeError(e.name, e.why, ""));
      end = ExecutionEnd.of(ExecutionEnd.Reason.NOT_STARTED);
    } catch (IOException | EngineException e) {
      logger
          .atDebug()
          .addKeyValue("execution_id", id)
          .addKeyValue("cause", e.toString())
          .log("Lost the connection of an execution");
      if (host.isLetGo()) {
        return;
      }
      end = ExecutionEnd.of(host.whyLost());
    } finally {
      leave.run();
    }
    input.over();
    listener.finished(end, kept);
  }

  /** Has the supervisor forget it, and wait for the next. */
  private void acknowledgeEnd(Last last, Optional<Target> target) {
    Connection open = last.connection();
    try {
      open.write(Frame.ACKNOWLEDGE, told);
      if (last.stays() && target.isPresent()) {
        link.giveBack(target.get().waiting(), open);
        return;
      }
    } catch (IOException e) {
      logger.atDebug().addKeyValue("execution_id", id).log("A supervisor is gone after its end");
    }
    open.close();
  }

  /** Sends the request to a supervisor that waits, or else to one that is asked to dial. */
  private Connection open(ExecutionSpec spec, Target target, long startNanos, boolean mayTakeIdle)
      throws IOException, TimeoutException {
    Optional<Connection> idle = mayTakeIdle ? link.takeIdle(target.waiting()) : Optional.empty();
    while (idle.isPresent()) {
      try {
        idle.get().write(Frame.REQUEST, 0, request(spec, target, startNanos));
        return idle.get();
      } catch (IOException e) {
        // It is gone, and cannot have read the request whole.
        idle.get().close();
        idle = link.takeIdle(target.waiting());
      }
    }
    String name = id.value();
    CompletableFuture<Connection> dialled = link.expect(name);
    try {
      if (!contexts.open(target, name)) {
        throw new Refused("ContextDeleted", "the context was deleted before this ran in it");
      }
      Connection open = await(dialled, spec.deadline().plus(DIAL_TIME));
      try {
        open.write(Frame.REQUEST, 0, request(spec, target, startNanos));
      } catch (IOException e) {
        open.close();
        throw e;
      }
      return open;
    } finally {
      link.forget(name);
    }
  }

  private Connection openAgain(CompletableFuture<Connection> dialled) throws IOException {
    resumes = true;
    try {
      return awaitAgain(dialled);
    } catch (IOException e) {
      link.forgetAgain(id.value());
      throw e;
    }
  }

  private Connection awaitAgain(CompletableFuture<Connection> dialled) throws IOException {
    while (true) {
      boolean cutOff = host.isCutOff();
      try {
        return await(dialled, REDIAL_TIME);
      } catch (TimeoutException e) {
        if (!cutOff && !host.isCutOff()) {
          throw new IOException("the sandbox knows nothing of the execution", e);
        }
      }
    }
  }

  /** It would not be started. */
  private static final class Refused extends IOException {
    private static final long serialVersionUID = 1L;

    private final String name;
    private final String why;

    Refused(String name, String why) {
      super(why);
      this.name = name;
      this.why = why;
    }
  }

  private static Connection await(CompletableFuture<Connection> dialled, Duration timeout)
      throws IOException, TimeoutException {
    try {
      return dialled.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    } catch (CancellationException e) {
      throw new IOException("the link was closed", e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof EngineException refusal) {
        throw new Refused("Refused", String.valueOf(refusal.getMessage()));
      }
      throw new IOException(e);
    }
  }

  private synchronized void connect(Connection open) throws IOException {
    connection = List.of(open);
    for (int signal : earlySignals) {
      open.write(Frame.SIGNAL, signal);
    }
    earlySignals.clear();
    if (resumes && killedByUs) {
      // It may have been lost with the connection before, and does no harm twice.
      open.write(Frame.SIGNAL, SIGKILL);
    }
    input.connect(open, resumes);
  }

  private synchronized void disconnect() {
    input.disconnect();
    connection = List.of();
  }

  private static Fields request(ExecutionSpec spec, Target target, long startNanos) {
    Duration left = spec.deadline().minusNanos(System.nanoTime() - startNanos);
    Fields fields = new Fields().add("id", spec.id().value());
    switch (spec.run()) {
      case ExecutionSpec.Command command ->
          command.argv().forEach(argument -> fields.add("argv", argument));
      case ExecutionSpec.Code code -> fields.add("source", code.source());
    }
    target.folder().ifPresent(path -> fields.add("folder", FileNames.encode(path)));
    spec.workingDirectory().ifPresent(path -> fields.add("cwd", FileNames.encode(path)));
    spec.stdio()
        .terminal()
        .ifPresent(terminal -> {
          fields.add("terminal", Integer.toString(terminal.rows()));
          fields.add("terminal", Integer.toString(terminal.columns()));
          // What the caller says comes behind it, and wins.
          fields.add("env", "TERM=" + terminal.name());
        });
    spec.environment().forEach((name, value) -> fields.add("env", name + "=" + value));
    if (spec.stdio().keepsOpen()) {
      fields.add("input", "open");
    }
    fields.add("deadline", Long.toString(Math.max(0, left.toMillis())));
    return fields.add("stdin", spec.stdio().stdin());
  }

  private Last converse(Connection first, long killsBefore) throws IOException {
    Connection open = first;
    boolean heardAll = false;
    try {
      while (true) {
        // Expected before this one can be lost: one that nobody expects is told to forget it all.
        CompletableFuture<Connection> next = link.expectAgain(id.value());
        try {
          connect(open);
          Frame finished = listen(open);
          Last last =
              new Last(end(finished.texts(5), killsBefore), open, finished.offset() == STAYS);
          heardAll = true;
          return last;
        } catch (IOException e) {
          if (!host.outlivesConnections() || host.isLetGo() || e instanceof ProtocolException) {
            throw e;
          }
          disconnect();
          open.close();
          open = awaitAgain(next);
          resumes = true;
        }
      }
    } finally {
      disconnect();
      link.forgetAgain(id.value());
      if (!heardAll) {
        open.close();
      }
    }
  }

  /** Tells the listener what comes; returns the last frame. */
  private Frame listen(Connection open) throws IOException {
    if (resumes) {
      // What the listener has had and not kept stays there, in case that another one is to have it.
      repeated = listener.behind();
      open.write(Frame.RESUME, told - repeated);
    }
    while (true) {
      Frame frame = open.read();
      if (host.isLetGo()) {
        throw new IOException("what is heard now is for the next engine");
      }
      if (frame.type() == Frame.INPUT_STATE) {
        // Not counted: its sender keeps no copy.
        input.told(frame);
        continue;
      }
      if (repeated > 0) {
        repeated--;
        continue;
      }
      int bytes = frame.payload().remaining() + KEPT_FRAME_BYTES;
      switch (frame.type()) {
        case Frame.STARTED -> listener.started((int) frame.offset());
        case Frame.STDOUT -> output(OutputStreamKind.STDOUT, frame);
        case Frame.STDERR -> output(OutputStreamKind.STDERR, frame);
        case Frame.RESULT -> listener.result(result(frame));
        case Frame.ERROR -> {
          List<String> texts = frame.texts(3);
          listener.error(new CodeError(texts.get(0), texts.get(1), texts.get(2)));
        }
        case Frame.FINISHED -> {
          told++;
          return frame;
        }
        default -> throw new ProtocolException("execution frame type " + frame.type());
      }
      acknowledge(open, bytes);
    }
  }

  private void acknowledge(Connection open, int bytes) throws IOException {
    told++;
    unacknowledged += bytes;
    if (unacknowledged >= ACKNOWLEDGED_AT_ONCE) {
      open.write(Frame.ACKNOWLEDGE, told - listener.behind());
      unacknowledged = 0;
    }
  }

  private void output(OutputStreamKind kind, Frame frame) throws IOException {
    long expected = offsets.getOrDefault(kind, frame.offset());
    if (frame.offset() != expected || !frame.payload().hasRemaining()) {
      throw new ProtocolException("output at " + frame.offset());
    }
    offsets.put(kind, expected + frame.payload().remaining());
    listener.output(kind, expected, frame.payload());
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

  static OptionalLong number(String text) throws ProtocolException {
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
