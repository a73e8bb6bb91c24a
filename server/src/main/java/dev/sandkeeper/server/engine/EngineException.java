package dev.sandkeeper.server.engine;

import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** An engine could not do what it was asked for. */
public final class EngineException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  private final Kind kind;
  private final @Nullable Duration retryAfter;

  /**
   * Creates an exception.
   *
   * @param kind whether asking again may help
   * @param message one line, for operators: may name host paths and commands to run
   */
  public EngineException(Kind kind, String message) {
    super(message);
    this.kind = kind;
    this.retryAfter = null;
  }

  /** As {@link #EngineException(Kind, String)}, with what caused it. */
  public EngineException(Kind kind, String message, Throwable cause) {
    this(kind, message, cause, Optional.empty());
  }

  /**
   * As {@link #EngineException(Kind, String, Throwable)}.
   *
   * @param retryAfter when the engine wants to be asked again, if it says so
   */
  public EngineException(
      Kind kind, String message, Throwable cause, Optional<Duration> retryAfter) {
    super(message, cause);
    this.kind = kind;
    this.retryAfter = retryAfter.orElse(null);
  }

  /** Returns whether asking again may help. */
  public Kind kind() {
    return kind;
  }

  /** Returns when the engine wants to be asked again, if it says so. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** What kind of failure it is. */
  public enum Kind {
    /** The engine as a whole cannot work now: not set up, runtime missing, no room. */
    UNAVAILABLE,
    /** The engine works, and cannot start another sandbox now: it has as many as it may. */
    FULL,
    /** This sandbox or this call failed. */
    FAILED,
    /** The sandbox is paused, and the call needs it to run: resume it first. */
    PAUSED,
    /** The context that something was to run in is not there any more. */
    CONTEXT_GONE,
    /** Nothing in the sandbox listens on the port. */
    PORT_CLOSED
  }
}
