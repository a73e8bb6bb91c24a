package dev.sandkeeper.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A call that was refused or failed.
 *
 * <p>A program that fails is not one: that is a {@code finished} event with its exit code.
 */
public final class SandkeeperException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Status.Code code;
  private final String reason;
  private final transient Map<String, String> metadata;
  private final transient List<FieldViolation> violations;
  private final transient @Nullable Duration retryDelay;

  private SandkeeperException(
      Status.Code code,
      String reason,
      String text,
      Map<String, String> metadata,
      List<FieldViolation> violations,
      @Nullable Duration retryDelay,
      @Nullable Throwable cause) {
    super(describe(code, reason, text, metadata, violations), cause);
    this.code = code;
    this.reason = reason;
    this.metadata = Map.copyOf(metadata);
    this.violations = List.copyOf(violations);
    this.retryDelay = retryDelay;
  }

  /**
   * Unpacks what gRPC threw. Details of unknown types are passed over: newer servers may add some.
   */
  static SandkeeperException from(StatusException thrown) {
    Status status = thrown.getStatus();
    String text = status.getDescription() == null ? "" : status.getDescription();
    String reason = status.getCode().name();
    Map<String, String> metadata = Map.of();
    List<FieldViolation> violations = List.of();
    Duration retryDelay = null;
    com.google.rpc.Status details = StatusProto.fromThrowable(thrown);
    for (Any detail : details == null ? List.<Any>of() : details.getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          reason = info.getReason();
          metadata = info.getMetadataMap();
        } else if (detail.is(BadRequest.class)) {
          violations =
              detail.unpack(BadRequest.class).getFieldViolationsList().stream()
                  .map(v -> new FieldViolation(v.getField(), v.getDescription()))
                  .toList();
        } else if (detail.is(RetryInfo.class)) {
          com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryDelay = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        }
      } catch (InvalidProtocolBufferException e) {
        // The code and the text still say what happened; a broken detail must not hide them.
        thrown.addSuppressed(e);
      }
    }
    return new SandkeeperException(
        status.getCode(), reason, text, metadata, violations, retryDelay, thrown);
  }

  /** Makes the exception for a failure that the client itself found. */
  static SandkeeperException local(Status.Code code, String text, @Nullable Throwable cause) {
    return new SandkeeperException(code, code.name(), text, Map.of(), List.of(), null, cause);
  }

  /** Returns the canonical code. */
  public Status.Code code() {
    return code;
  }

  /**
   * Returns the reason, such as {@code QUOTA_EXCEEDED}; never empty. It is the code's name when the
   * failure is not the server's own, such as {@code UNAVAILABLE} when nothing listens.
   */
  public String reason() {
    return reason;
  }

  /** Returns the varying parts of the message by lower camel case keys; possibly empty. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** Returns the fields that were not accepted; empty unless the request was invalid. */
  public List<FieldViolation> violations() {
    return violations;
  }

  /** Returns after how long a retry may succeed; empty when waiting does not help. */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(retryDelay);
  }

  private static String describe(
      Status.Code code,
      String reason,
      String text,
      Map<String, String> metadata,
      List<FieldViolation> violations) {
    StringBuilder line = new StringBuilder(code.name());
    if (!reason.equals(code.name())) {
      line.append(' ').append(reason);
    }
    if (!text.isEmpty()) {
      line.append(": ").append(text);
    }
    if (!metadata.isEmpty()) {
      line.append(' ').append(new TreeMap<>(metadata));
    }
    for (FieldViolation violation : violations) {
      line.append("; ").append(violation.field()).append(": ").append(violation.description());
    }
    return line.toString();
  }
}
