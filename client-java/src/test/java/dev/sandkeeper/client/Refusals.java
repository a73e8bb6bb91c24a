package dev.sandkeeper.client;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;

/** What a server throws when it refuses. */
final class Refusals {
  private Refusals() {}

  static StatusRuntimeException of(Status.Code code, String reason) {
    return of(code, ErrorInfo.newBuilder().setReason(reason).build());
  }

  static StatusRuntimeException of(Status.Code code, String reason, Duration retryDelay) {
    return of(
        code,
        ErrorInfo.newBuilder().setReason(reason).build(),
        RetryInfo.newBuilder().setRetryDelay(Times.toProto(retryDelay)).build());
  }

  static StatusRuntimeException of(Status.Code code, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("Refused.");
    for (Message detail : details) {
      status.addDetails(detail instanceof Any any ? any : Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }
}
