package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.engine.EngineInputException;
import dev.sandkeeper.server.engine.Stdio;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
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
final class GuestInput {

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

  /** The last bytes of those taken, for a connection that is lost with some of them. */
  private byte[] unconfirmed = {};

  /** Whether the supervisor has yet to say how much came over the connection before. */
  private boolean goesOn;

  /** Whether what is lost with a connection is sent again over the next. */
  private final boolean outlivesConnections;

  private GuestInput(State state, boolean terminal, boolean outlivesConnections) {
    this.state = state;
    this.terminal = terminal;
    this.outlivesConnections = outlivesConnections;
  }

  /** Makes that of an execution that is about to start. */
  static GuestInput of(Stdio stdio, boolean outlivesConnections) {
    return new GuestInput(
        stdio.keepsOpen() ? State.OPEN : State.NOT_OPEN,
        stdio.terminal().isPresent(),
        outlivesConnections);
  }

  /** Makes that of an execution that goes on. */
  static GuestInput takenUp(boolean outlivesConnections) {
    return new GuestInput(State.UNKNOWN, false, outlivesConnections);
  }

  /**
   * Sets where it goes.
   *
   * @param resumes whether the execution had another connection before
   */
  void connect(Connection open, boolean resumes) {
    change(() -> {
      connection = Optional.of(open);
      goesOn = resumes;
    });
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
  void told(Frame frame) throws IOException {
    List<String> texts = frame.texts(3);
    State told =
        switch (texts.get(0)) {
          case "open" -> State.OPEN;
          case "closed" -> State.CLOSED;
          case "none" -> State.NOT_OPEN;
          default -> throw new ProtocolException("input " + texts.get(0));
        };
    long takenThere = GuestExecution.number(texts.get(1)).orElse(0);
    if (frame.offset() < 0 || frame.offset() > takenThere) {
      throw new ProtocolException("input passed on to " + frame.offset());
    }
    lock.lock();
    try {
      learn(told, takenThere, frame.offset(), texts.get(2).equals("terminal"));
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void learn(State told, long takenThere, long passedThere, boolean isTerminal)
      throws IOException {
    boolean closedHere = state == State.CLOSED;
    if (state == State.UNKNOWN) {
      state = told;
      taken = takenThere;
      terminal = isTerminal;
    } else if (state == State.OPEN && told == State.CLOSED) {
      // By the program. What is still on the way there is dropped.
      state = State.CLOSED;
    }
    if (goesOn) {
      goesOn = false;
      sendAgain(told, takenThere, closedHere);
    }
    confirm(Math.min(taken, Math.max(passed, passedThere)));
  }

  /** Sends what was lost with the connection before. */
  private void sendAgain(State told, long takenThere, boolean closedHere) throws IOException {
    if (told != State.OPEN || connection.isEmpty()) {
      return;
    }
    Connection open = connection.get();
    int had = unconfirmedUpTo(takenThere);
    int size = unconfirmed.length - had;
    if (size > 0) {
      open.write(Frame.INPUT, taken - size, ByteBuffer.wrap(unconfirmed, had, size));
    }
    if (closedHere) {
      open.write(Frame.CLOSE_INPUT, taken);
    }
  }

  private void confirm(long upTo) {
    unconfirmed = Arrays.copyOfRange(unconfirmed, unconfirmedUpTo(upTo), unconfirmed.length);
    passed = upTo;
  }

  /** Returns how many of the unconfirmed bytes lie before an offset. */
  private int unconfirmedUpTo(long offset) {
    return Math.clamp(offset - (taken - unconfirmed.length), 0, unconfirmed.length);
  }

  /** See {@link GuestExecution#sendInput}. */
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
      if (taken - passed + size > Guest.MAX_WAITING_INPUT_BYTES) {
        return false;
      }
      // Kept first: a connection that breaks may have taken all of it, or nothing.
      int before = unconfirmed.length;
      unconfirmed = Arrays.copyOf(unconfirmed, before + size);
      System.arraycopy(data, had, unconfirmed, before, size);
      long at = taken;
      taken += size;
      write(() -> open.write(Frame.INPUT, at, ByteBuffer.wrap(data, had, size)));
      return true;
    });
  }

  /** Writes what is sent again, where anything is, when the connection is lost. */
  private void write(Writing writing) throws IOException {
    try {
      writing.run();
    } catch (IOException e) {
      if (!outlivesConnections) {
        throw e;
      }
    }
  }

  /** Something written. */
  @FunctionalInterface
  private interface Writing {
    void run() throws IOException;
  }

  /** See {@link GuestExecution#closeInput}. */
  void close() {
    act(open -> {
      if (state == State.NOT_OPEN) {
        throw refusal(EngineInputException.Kind.NOT_OPEN);
      }
      if (state == State.OPEN) {
        write(() -> open.write(Frame.CLOSE_INPUT, taken));
        state = State.CLOSED;
      }
      return true;
    });
  }

  /** See {@link GuestExecution#resizeTerminal}. */
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
      case NOT_OPEN, OPEN, CLOSED -> connection.isPresent() && !goesOn;
    };
  }

  private EngineInputException refusal(EngineInputException.Kind kind) {
    return new EngineInputException(kind, taken);
  }
}
