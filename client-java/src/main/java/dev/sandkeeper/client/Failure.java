package dev.sandkeeper.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What is known of a failed call.
 *
 * @param reason never empty; the code's name when the server gave none
 * @param text what the status says in words; possibly empty
 * @param fromServer whether google.rpc.ErrorInfo came, which every refusal of the server has
 */
record Failure(
    Status.Code code,
    String reason,
    String text,
    Map<String, String> metadata,
    List<FieldViolation> violations,
    Optional<Duration> retryDelay,
    boolean fromServer) {
  static Failure local(Status.Code code, String text) {
    return new Failure(code, code.name(), text, Map.of(), List.of(), Optional.empty(), false);
  }

  /**
   * Unpacks a status and its details. Those of unknown types are passed over, as newer servers may
   * add some, and so are broken ones.
   */
  static Failure of(Status status, @Nullable Metadata trailers) {
    Optional<ErrorInfo> info = Optional.empty();
    List<FieldViolation> violations = List.of();
    Optional<Duration> retryDelay = Optional.empty();
    for (Any detail : details(status, trailers)) {
      try {
        if (detail.is(ErrorInfo.class)) {
          info = Optional.of(detail.unpack(ErrorInfo.class));
        } else if (detail.is(BadRequest.class)) {
          violations =
              detail.unpack(BadRequest.class).getFieldViolationsList().stream()
                  .map(v -> new FieldViolation(v.getField(), v.getDescription()))
                  .toList();
        } else if (detail.is(RetryInfo.class)) {
          retryDelay = Optional.of(Times.fromProto(detail.unpack(RetryInfo.class).getRetryDelay()));
        }
      } catch (InvalidProtocolBufferException e) {
        // Code and text still say what happened.
      }
    }
    return new Failure(
        status.getCode(),
        info.map(ErrorInfo::getReason)
            .filter(reason -> !reason.isEmpty())
            .orElse(status.getCode().name()),
        status.getDescription() == null ? "" : status.getDescription(),
        info.map(ErrorInfo::getMetadataMap).orElse(Map.of()),
        violations,
        retryDelay,
        info.isPresent());
  }

  private static List<Any> details(Status status, @Nullable Metadata trailers) {
    try {
      return StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList();
    } catch (IllegalArgumentException e) {
      return List.of(); // what came contradicts the status, or cannot be read
    }
  }

  /** Returns all of it in one line, for the message of the exception. */
  @Override
  public String toString() {
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
