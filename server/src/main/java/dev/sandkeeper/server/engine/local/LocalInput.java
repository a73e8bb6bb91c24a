package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineInputException;
import dev.sandkeeper.server.engine.Stdio;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What is sent for a program to read. A supervisor always reads its connection, so what is written
 * there is the program's, also when this engine is killed; it tells how much of it waits.
 *
 * <p>So little may wait that a socket holds it: writing never blocks for a program that does not
 * read.
 */
final class LocalInput {

  /** What may wait for the program in its supervisor and on the way there. */
  static final int MAX_WAITING_BYTES = 128 * 1024;

  /** How long a sender waits for room, or for a supervisor that looks for its engine. */
  private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(5);

  private static final int COLUMN_BITS = 16;

  /** How it stands. */
  private enum State {
    /** Its supervisor has yet to say. */
    UNKNOWN,
    NOT_OPEN,
    OPEN,
    CLOSED,
    OVER,
    /** This engine hears of it no more. */
    LET_GO
  }

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();

  // Guarded by the lock.
  private State state;
  private boolean terminal;
  private Optional<Connection> connection = Optional.empty();
  private long taken;
  private long passed;

  private LocalInput(State state, boolean terminal) {
    this.state = state;
    this.terminal = terminal;
  }

  /** Makes that of an execution that is about to start. */
  static LocalInput of(Stdio stdio) {
    return new LocalInput(
        stdio.keepsOpen() ? State.OPEN : State.NOT_OPEN, stdio.terminal().isPresent());
  }

  /** Makes that of an execution that goes on. */
  static LocalInput takenUp() {
    return new LocalInput(State.UNKNOWN, false);
  }

  /** Sets where it goes. */
  void connect(Connection open) {
    change(() -> connection = Optional.of(open));
  }

  /** Writes no more to the connection, which may become another execution's. */
  void disconnect() {
    change(() -> connection = Optional.empty());
  }

  /** Takes nothing more, as the execution is over. */
  void over() {
    change(() -> state = State.OVER);
  }

  /** Takes nothing more, as this engine has let go of the execution. */
  void letGo() {
    change(() -> state = State.LET_GO);
  }

  private void change(Runnable work) {
    lock.lock();
    try {
      work.run();
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** Learns from the supervisor how it stands. */
  void told(Frame frame) throws ProtocolException {
    List<String> texts = frame.texts(3);
    State told =
        switch (texts.get(0)) {
          case "open" -> State.OPEN;
          case "closed" -> State.CLOSED;
          case "none" -> State.NOT_OPEN;
          default -> throw new ProtocolException("input " + texts.get(0));
        };
    long takenThere = LocalExecution.number(texts.get(1)).orElse(0);
    if (frame.offset() < 0 || frame.offset() > takenThere) {
      throw new ProtocolException("input passed on to " + frame.offset());
    }
    change(() -> learn(told, takenThere, frame.offset(), texts.get(2).equals("terminal")));
  }

  private void learn(State told, long takenThere, long passedThere, boolean isTerminal) {
    if (state == State.UNKNOWN) {
      state = told;
      taken = takenThere;
      terminal = isTerminal;
    } else if (state == State.OPEN && told == State.CLOSED) {
      // By the program. What is still on the way there is dropped.
      state = State.CLOSED;
    }
    passed = Math.min(taken, Math.max(passed, passedThere));
  }

  /** See {@link LocalExecution#sendInput}. */
  long send(long offset, byte[] data) {
    return act(open -> {
      if (state == State.NOT_OPEN) {
        throw refusal(EngineInputException.Kind.NOT_OPEN);
      }
      if (offset > taken) {
        throw refusal(EngineInputException.Kind.GAP);
      }
      if (offset + data.length <= taken) {
        return true;
      }
      if (state == State.CLOSED) {
        throw refusal(EngineInputException.Kind.CLOSED);
      }
      int had = (int) (taken - offset);
      int size = data.length - had;
      if (taken - passed + size > MAX_WAITING_BYTES) {
        return false;
      }
      open.write(Frame.INPUT, taken, ByteBuffer.wrap(data, had, size));
      taken += size;
      return true;
    });
  }

  /** See {@link LocalExecution#closeInput}. */
  void close() {
    act(open -> {
      if (state == State.NOT_OPEN) {
        throw refusal(EngineInputException.Kind.NOT_OPEN);
      }
      if (state == State.OPEN) {
        open.write(Frame.CLOSE_INPUT, taken);
        state = State.CLOSED;
      }
      return true;
    });
  }

  /** See {@link LocalExecution#resizeTerminal}. */
  void resize(int rows, int columns) {
    act(open -> {
      if (!terminal) {
        throw refusal(EngineInputException.Kind.NO_TERMINAL);
      }
      open.write(Frame.RESIZE, (long) rows << COLUMN_BITS | columns);
      return true;
    });
  }

  /** Something done over the connection, once it is there and known how the input stands. */
  @FunctionalInterface
  private interface Act {
    /** Does it, or returns false when there is no room. */
    boolean over(Connection open) throws IOException;
  }

  /** Does something as soon as it can be done; returns how much was taken so far. */
  private long act(Act act) {
    lock.lock();
    try {
      long patience = PATIENCE_NANOS;
      while (true) {
        boolean known = isKnown();
        if (known && act.over(connection.orElseThrow())) {
          return taken;
        }
        if (patience <= 0) {
          throw refusal(
              known ? EngineInputException.Kind.FULL : EngineInputException.Kind.UNREACHABLE);
        }
        patience = changed.awaitNanos(patience);
      }
    } catch (IOException e) {
      // What has become of the execution is told where frames are read.
      throw refusal(EngineInputException.Kind.UNREACHABLE);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw refusal(EngineInputException.Kind.UNREACHABLE);
    } finally {
      lock.unlock();
    }
  }

  private boolean isKnown() {
    return switch (state) {
      case OVER -> throw refusal(EngineInputException.Kind.OVER);
      case LET_GO -> throw refusal(EngineInputException.Kind.UNREACHABLE);
      case UNKNOWN -> false;
      case NOT_OPEN, OPEN, CLOSED -> connection.isPresent();
    };
  }

  private EngineInputException refusal(EngineInputException.Kind kind) {
    return new EngineInputException(kind, taken);
  }
}
