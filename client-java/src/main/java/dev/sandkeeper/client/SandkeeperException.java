package dev.sandkeeper.client;

import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A call that was refused or failed.
 *
 * <p>A program that fails is not one: that is a {@link ExecutionEvent.Finished} with its exit code.
 */
public sealed class SandkeeperException extends RuntimeException permits QuotaExceededException {
  private static final long serialVersionUID = 1L;

  private final transient Failure failure;

  SandkeeperException(Failure failure, @Nullable Throwable cause) {
    super(failure.toString(), cause);
    this.failure = failure;
  }

  /** Makes the exception for what gRPC reports. */
  static SandkeeperException of(Status status, @Nullable Metadata trailers) {
    Failure failure = Failure.of(status, trailers);
    return QuotaExceededException.of(failure, status.getCause())
        .orElseGet(() -> new SandkeeperException(failure, status.getCause()));
  }

  /** Makes the exception for a failure that the client itself found. */
  static SandkeeperException local(Status.Code code, String text, @Nullable Throwable cause) {
    return new SandkeeperException(Failure.local(code, text), cause);
  }

  /** Returns the canonical code. */
  public Status.Code code() {
    return failure.code();
  }

  /**
   * Returns the reason, such as {@code SANDBOX_NOT_FOUND}; never empty. It is the code's name when
   * the failure is not the server's own, such as {@code UNAVAILABLE} when nothing listens.
   */
  public String reason() {
    return failure.reason();
  }

  /** Returns the varying parts of the message by lower camel case keys; possibly empty. */
  public Map<String, String> metadata() {
    return failure.metadata();
  }

  /** Returns the fields that were not accepted; empty unless the request was invalid. */
  public List<FieldViolation> violations() {
    return failure.violations();
  }

  /** Returns after how long a retry may succeed; empty when waiting does not help. */
  public Optional<Duration> retryDelay() {
    return failure.retryDelay();
  }

  /** Says whether the server itself refused, rather than something on the way to it. */
  boolean isFromServer() {
    return failure.fromServer();
  }
}
