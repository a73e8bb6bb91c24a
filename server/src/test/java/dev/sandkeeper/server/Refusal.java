package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import dev.sandkeeper.server.base.ErrorReason;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;

/**
 * What a caller is told of a call that was refused or failed.
 *
 * @param code the canonical code
 * @param status code, message and details
 */
public record Refusal(Status.Code code, com.google.rpc.Status status) {

  /** Makes a call that must be refused, with the code and the reason. */
  public static Refusal of(Status.Code code, ErrorReason reason, ThrowingCallable call) {
    Refusal refusal = of(call);
    assertThat(refusal.code()).as("%s", refusal.status()).isEqualTo(code);
    assertThat(refusal.info().getReason()).isEqualTo(reason.name());
    return refusal;
  }

  /** Makes a call that must be refused for a field, and says why it was. */
  public static String ofField(String field, ThrowingCallable call) {
    Refusal refusal = of(Status.Code.INVALID_ARGUMENT, ErrorReason.INVALID_FIELD, call);
    List<BadRequest.FieldViolation> violations =
        refusal.detail(BadRequest.class).orElseThrow().getFieldViolationsList();
    assertThat(violations).extracting(BadRequest.FieldViolation::getField).contains(field);
    return violations.stream()
        .filter(violation -> violation.getField().equals(field))
        .findFirst()
        .orElseThrow()
        .getDescription();
  }

  /** Makes a call that must be refused. */
  public static Refusal of(ThrowingCallable call) {
    StatusRuntimeException failure = catchThrowableOfType(StatusRuntimeException.class, call);
    assertThat(failure).as("a refusal").isNotNull();
    return new Refusal(
        failure.getStatus().getCode(),
        Objects.requireNonNull(StatusProto.fromThrowable(failure), "no details"));
  }

  /** Returns the reason and what goes with it. */
  public ErrorInfo info() {
    return detail(ErrorInfo.class).orElseThrow();
  }

  /** Returns the detail of that kind. */
  public <T extends Message> Optional<T> detail(Class<T> kind) {
    for (Any detail : status.getDetailsList()) {
      if (detail.is(kind)) {
        try {
          return Optional.of(detail.unpack(kind));
        } catch (InvalidProtocolBufferException e) {
          throw new AssertionError(e);
        }
      }
    }
    return Optional.empty();
  }
}
