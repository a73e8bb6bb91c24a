package dev.sandkeeper.server.engine.e2b;

import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** E2B did not do what it was asked for, or did not say whether it did. */
final class E2bException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Kind kind;
  private final int status;
  private final String errorCode;
  private final @Nullable Duration retryAfter;
  private final boolean mayBeDone;

  /** What kind of failure it is. */
  enum Kind {
    /** The daemon's sandbox does not run: it ended, was paused, or never was. */
    GONE,
    /** What the call names is not there: a sandbox or template, or a process in a sandbox. */
    NOT_FOUND,
    /** As many sandboxes run as the account may have at a time. */
    CAPACITY,
    /** Too many requests; later they are taken. */
    RATE_LIMITED,
    /** The sandbox is in a state in which this cannot be done now. */
    CONFLICT,
    /** The API key or the sandbox's token is not good. */
    UNAUTHENTICATED,
    /** The request will not be taken however often it is made. */
    REFUSED,
    /** E2B cannot do it now. */
    UNAVAILABLE,
    /** No answer, half an answer, or one that is not as documented. */
    BROKEN
  }

  private E2bException(
      Kind kind,
      int status,
      String errorCode,
      @Nullable Duration retryAfter,
      boolean mayBeDone,
      String message,
      @Nullable Throwable cause) {
    super(message, cause);
    this.kind = kind;
    this.status = status;
    this.errorCode = errorCode;
    this.retryAfter = retryAfter;
    this.mayBeDone = mayBeDone;
  }

  /**
   * Makes the failure for an answer that says no.
   *
   * @param errorCode E2B's or the daemon's, possibly empty
   */
  static E2bException answered(
      Kind kind, int status, String errorCode, @Nullable Duration retryAfter, String message) {
    // Another answer of the servers' own tells nothing of how far they had come.
    boolean mayBeDone = status >= 500 && status != 503;
    return new E2bException(kind, status, errorCode, retryAfter, mayBeDone, message, null);
  }

  /** Makes the failure for an error that ends a stream. */
  static E2bException streamEnded(Kind kind, String errorCode, String message) {
    return new E2bException(kind, 200, errorCode, null, true, message, null);
  }

  /**
   * Makes the failure for a missing answer.
   *
   * @param mayBeDone false when the request has certainly not been taken
   */
  static E2bException unanswered(String message, boolean mayBeDone, Throwable cause) {
    Kind kind = mayBeDone ? Kind.BROKEN : Kind.UNAVAILABLE;
    return new E2bException(kind, 0, "", null, mayBeDone, message, cause);
  }

  /** Makes the failure for a request that is not made for want of a key. */
  static E2bException noKey(String message) {
    return new E2bException(Kind.UNAUTHENTICATED, 0, "", null, false, message, null);
  }

  /** Makes the failure for a request that is not made as it would come too late. */
  static E2bException tooLate(String message) {
    return new E2bException(Kind.REFUSED, 0, "", null, false, message, null);
  }

  /** Makes the failure for a stream that broke off or is not as documented. */
  static E2bException broken(String message) {
    return new E2bException(Kind.BROKEN, 200, "", null, true, message, null);
  }

  /** Returns the same, of a call an earlier try of which may have done what was asked for. */
  E2bException mayBeDoneAfterAll() {
    return mayBeDone
        ? this
        : new E2bException(
            kind, status, errorCode, retryAfter, true, String.valueOf(getMessage()), this);
  }

  /** Returns what kind of failure it is. */
  Kind kind() {
    return kind;
  }

  /** Returns the HTTP status; 0 when there was no answer. */
  int status() {
    return status;
  }

  /** Returns E2B's own code, such as {@code sandbox_capacity_unavailable}; often empty. */
  String errorCode() {
    return errorCode;
  }

  /** Returns after how long E2B wants to be asked again, if it said so. */
  Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** Returns whether what was asked for may have been done all the same. */
  boolean mayBeDone() {
    return mayBeDone;
  }
}
