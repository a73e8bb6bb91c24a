package dev.sandkeeper.server.engine;

/** A program's input, or the size of its terminal, is not taken. */
public final class EngineInputException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  private final Kind kind;
  private final long nextOffset;

  /**
   * Creates an exception.
   *
   * @param kind why
   * @param nextOffset how many bytes of input were taken so far
   */
  public EngineInputException(Kind kind, long nextOffset) {
    super(kind + " at " + nextOffset);
    this.kind = kind;
    this.nextOffset = nextOffset;
  }

  /** Returns why. */
  public Kind kind() {
    return kind;
  }

  /** Returns how many bytes of input were taken so far. */
  public long nextOffset() {
    return nextOffset;
  }

  /** Why it is not taken. */
  public enum Kind {
    /** The execution was started without open input. */
    NOT_OPEN,
    /** The input was closed, by a call or by the program. */
    CLOSED,
    /** Bytes between those taken and these are missing. */
    GAP,
    /** As much waits for the program as may, and it has not read in the time there is. */
    FULL,
    /** The execution has no terminal. */
    NO_TERMINAL,
    /** The execution is over. */
    OVER,
    /** The execution cannot be reached now. */
    UNREACHABLE
  }
}
