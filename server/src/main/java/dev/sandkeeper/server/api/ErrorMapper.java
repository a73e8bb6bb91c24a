package dev.sandkeeper.server.api;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RequestInfo;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import com.linecorp.armeria.common.ClosedSessionException;
import com.linecorp.armeria.common.ContentTooLargeException;
import com.linecorp.armeria.common.RequestContext;
import com.linecorp.armeria.common.ResponseCompleteException;
import com.linecorp.armeria.common.ShuttingDownException;
import com.linecorp.armeria.common.grpc.GrpcExceptionHandlerFunction;
import com.linecorp.armeria.common.stream.CancelledSubscriptionException;
import com.linecorp.armeria.common.stream.ClosedStreamException;
import com.linecorp.armeria.common.util.Exceptions;
import com.linecorp.armeria.server.HttpStatusException;
import com.linecorp.armeria.server.RequestCancellationException;
import com.linecorp.armeria.server.RequestTimeoutException;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one place where a failure becomes what the caller sees: a canonical code, and details of
 * which google.rpc.ErrorInfo is always one.
 */
public final class ErrorMapper implements GrpcExceptionHandlerFunction {
  /** The trailer in which the details travel. */
  static final Metadata.Key<Status> DETAILS =
      Metadata.Key.of(
          "grpc-status-details-bin", ProtoUtils.metadataMarshaller(Status.getDefaultInstance()));

  /** The domain of every ErrorInfo. */
  public static final String DOMAIN = "sandkeeper.dev";

  private static final String DEFRAMER_INPUT =
      "com.linecorp.armeria.internal.common.stream.ByteBufsDecoderInput";

  private static final String UNARY_INPUT = "com.linecorp.armeria.server.grpc.UnaryDecoderInput";

  /** How a refusal of bytes that are no message of gRPC begins, whose code would say: a bug. */
  private static final String DEFRAMER_REFUSAL =
      "com.linecorp.armeria.common.grpc.protocol.ArmeriaMessageDeframer: ";

  private static final Logger logger = LoggerFactory.getLogger(ErrorMapper.class);

  /** Returns the canonical code of a reason. */
  static Code code(ErrorReason reason) {
    return switch (reason) {
      case INVALID_FIELD -> Code.INVALID_ARGUMENT;
      case INVALID_CREDENTIALS -> Code.UNAUTHENTICATED;
      case SCOPE_MISSING, COMMAND_DENIED -> Code.PERMISSION_DENIED;
      case SANDBOX_NOT_FOUND,
          EXECUTION_NOT_FOUND,
          CONTEXT_NOT_FOUND,
          TEMPLATE_NOT_FOUND,
          TENANT_NOT_FOUND,
          LIMIT_NOT_FOUND,
          HOLD_NOT_FOUND,
          COST_RECORD_NOT_FOUND,
          API_KEY_NOT_FOUND,
          WEBHOOK_NOT_FOUND,
          SECRET_NOT_FOUND,
          PRICE_NOT_FOUND,
          FILE_NOT_FOUND,
          ARTIFACTS_NOT_KEPT ->
          Code.NOT_FOUND;
      case REQUEST_ID_REUSED, ALREADY_EXISTS -> Code.ALREADY_EXISTS;
      case SANDBOX_NOT_RUNNING,
          SANDBOX_PAUSED,
          SANDBOX_ELSEWHERE,
          INTERPRETER_MISSING,
          RUNTIME_MISSING,
          ENGINE_MISSING,
          EXECUTION_FINISHED,
          INPUT_NOT_OPEN,
          INPUT_CLOSED,
          ARTIFACTS_NOT_SELECTED,
          NO_TERMINAL,
          NO_PRICE_FOR_TIER,
          NO_PRICE_FOR_MODEL,
          HOLD_ENDED,
          CORRECTION_REFUSED,
          REQUEST_ID_EXPIRED,
          PRICE_START_REFUSED,
          FILE_REFUSED,
          WEBHOOK_DISABLED,
          NO_KEY_FOR_SECRETS,
          SECRET_UNREADABLE ->
          Code.FAILED_PRECONDITION;
      case QUOTA_EXCEEDED,
          ENGINE_FULL,
          TOO_MANY_LIMITS,
          TOO_MANY_CONTEXTS,
          SIZE_LIMIT_EXCEEDED,
          TOO_MANY_REQUESTS,
          RATE_LIMITED,
          TOO_MANY_CONNECTIONS,
          INPUT_FULL,
          TOO_MANY_WEBHOOKS,
          TOO_MANY_SECRETS,
          TOO_MANY_TEMPLATES ->
          Code.RESOURCE_EXHAUSTED;
      case SEQUENCE_NOT_KEPT, INPUT_GAP, REPORT_TOO_LARGE -> Code.OUT_OF_RANGE;
      case CONCURRENT_CHANGE, SANDBOX_TAKEN_OVER -> Code.ABORTED;
      case ENGINE_UNAVAILABLE, DATABASE_UNAVAILABLE, SHUTTING_DOWN, PORT_NOT_OPEN, PORT_FAILED ->
          Code.UNAVAILABLE;
      case DEADLINE_EXCEEDED -> Code.DEADLINE_EXCEEDED;
      case INTERNAL -> Code.INTERNAL;
    };
  }

  /**
   * Says what the caller sees, also of what the gRPC library refuses, which Armeria's own function
   * for google.rpc.Status would let pass without details.
   */
  @Override
  public io.grpc.Status apply(
      RequestContext context, io.grpc.Status found, Throwable throwable, Metadata trailers) {
    Status said = status(context, Exceptions.peel(throwable));
    trailers.discardAll(DETAILS);
    trailers.put(DETAILS, said);
    io.grpc.Status status =
        io.grpc.Status.fromCodeValue(said.getCode()).withDescription(said.getMessage());
    // Armeria looks at the cause of what came as a status, for who cancelled.
    return throwable instanceof StatusRuntimeException
        ? status.withCause(found.getCause())
        : status;
  }

  /** Returns what the caller sees of a failure, whichever way the call came. Bugs are logged. */
  public static Status status(RequestContext context, Throwable throwable) {
    if (throwable instanceof SandkeeperException known) {
      return status(known);
    }
    if (throwable instanceof ContentTooLargeException tooLarge) {
      return status(tooLarge);
    }
    if (throwable instanceof HttpStatusException
        && throwable.getCause() instanceof ContentTooLargeException tooLarge) {
      return status(tooLarge);
    }
    if (throwable instanceof InvalidProtocolBufferException malformed) {
      return status(malformed);
    }
    if (throwable.getCause() instanceof InvalidProtocolBufferException malformed) {
      return status(malformed);
    }
    if (throwable instanceof StatusRuntimeException || throwable instanceof StatusException) {
      io.grpc.Status refused = io.grpc.Status.fromThrowable(throwable);
      return refused.getCode() == io.grpc.Status.Code.RESOURCE_EXHAUSTED
          ? status(tooLarge()) // the one thing of which the library has a bound
          : withErrorInfo(refused);
    }
    if (isReadBeyondTheEnd(throwable)) {
      return noFrame("it ends before its end");
    }
    if (throwable instanceof ClosedStreamException
        || throwable instanceof ClosedSessionException
        || throwable instanceof CancelledSubscriptionException
        || throwable instanceof RequestCancellationException
        || throwable instanceof ResponseCompleteException
        || isReadOfWhatIsClosed(throwable)) {
      return withErrorInfo(
          io.grpc.Status.CANCELLED.withDescription(
              "The call is over: the caller is gone or has its answer."));
    }
    if (throwable instanceof RequestTimeoutException) {
      return status(
          SandkeeperException.of(
              ErrorReason.DEADLINE_EXCEEDED, "The call's deadline passed before it was done."));
    }
    if (throwable instanceof ShuttingDownException) {
      return status(SandkeeperException.of(ErrorReason.SHUTTING_DOWN, "The server stops."));
    }
    io.grpc.Status protocol = io.grpc.Status.fromThrowable(throwable);
    if (protocol.getCode() != io.grpc.Status.Code.UNKNOWN) {
      return withErrorInfo(protocol);
    }
    logger
        .atError()
        .addKeyValue("requestId", context.id())
        .setCause(throwable)
        .log("A call failed for a reason that is a bug");
    return Status.newBuilder()
        .setCode(Code.INTERNAL_VALUE)
        .setMessage("The call failed inside the server; its log has the rest under the request id.")
        .addDetails(Any.pack(errorInfo(ErrorReason.INTERNAL.name(), Map.of())))
        .addDetails(Any.pack(RequestInfo.newBuilder().setRequestId(context.id().text()).build()))
        .build();
  }

  /** Returns what the caller sees of a known failure; of very long values the beginning. */
  public static Status status(SandkeeperException failure) {
    Status whole = details(failure);
    return whole.getSerializedSize() <= ErrorSize.MAX_STATUS_BYTES
        ? whole
        : details(ErrorSize.cut(failure));
  }

  /** Names what is wrong with the message, such as a field of JSON that the type does not have. */
  private static Status status(InvalidProtocolBufferException malformed) {
    return withErrorInfo(
        io.grpc.Status.INVALID_ARGUMENT.withDescription(
            "The request is no message of the type that the call takes: "
                + ErrorSize.cut(String.valueOf(malformed.getMessage()))));
  }

  private static Status details(SandkeeperException failure) {
    Status.Builder status =
        Status.newBuilder()
            .setCode(code(failure.reason()).getNumber())
            .setMessage(String.valueOf(failure.getMessage()))
            .addDetails(Any.pack(errorInfo(failure.reason().name(), failure.context())));
    Message detail = detail(failure);
    if (detail != null) {
      status.addDetails(Any.pack(detail));
    }
    failure.retryDelay().ifPresent(delay -> status.addDetails(Any.pack(retryInfo(delay))));
    return status.build();
  }

  /** Armeria goes on to read messages that arrived together with one that ended the call. */
  private static boolean isReadOfWhatIsClosed(Throwable throwable) {
    StackTraceElement[] stack = throwable.getStackTrace();
    return throwable instanceof IllegalStateException
        && stack.length > 0
        && stack[0].getClassName().equals(DEFRAMER_INPUT);
  }

  /** Armeria reads the message of a unary call without a look at whether all of it is there. */
  private static boolean isReadBeyondTheEnd(Throwable throwable) {
    return throwable instanceof IndexOutOfBoundsException
        && Arrays.stream(throwable.getStackTrace())
            .anyMatch(frame -> frame.getClassName().equals(UNARY_INPUT));
  }

  private static Status noFrame(String why) {
    return withErrorInfo(
        io.grpc.Status.INVALID_ARGUMENT.withDescription(
            "The request is no message of gRPC: " + why));
  }

  /** Returns what the caller sees of a request that has more bytes than any may have. */
  public static Status status(ContentTooLargeException cause) {
    return status(tooLarge().with("maxBytes", cause.maxContentLength()));
  }

  private static SandkeeperException tooLarge() {
    return SandkeeperException.of(
        ErrorReason.SIZE_LIMIT_EXCEEDED, "The request has more bytes than is allowed.");
  }

  private static @Nullable Message detail(SandkeeperException failure) {
    Map<String, String> context = failure.context();
    return switch (code(failure.reason())) {
      case INVALID_ARGUMENT -> badRequest(failure);
      case RESOURCE_EXHAUSTED -> quotaFailure(failure);
      case NOT_FOUND, ALREADY_EXISTS -> resourceInfo(failure);
      case FAILED_PRECONDITION ->
          PreconditionFailure.newBuilder()
              .addViolations(
                  PreconditionFailure.Violation.newBuilder()
                      .setType(failure.reason().name())
                      .setSubject(String.join(" ", context.values()))
                      .setDescription(String.valueOf(failure.getMessage())))
              .build();
      default -> null;
    };
  }

  private static BadRequest badRequest(SandkeeperException failure) {
    BadRequest.Builder badRequest = BadRequest.newBuilder();
    failure
        .violations()
        .forEach(violation ->
            badRequest
                .addFieldViolationsBuilder()
                .setField(violation.field())
                .setDescription(violation.description()));
    return badRequest.build();
  }

  private static QuotaFailure quotaFailure(SandkeeperException failure) {
    Map<String, String> context = failure.context();
    String subject =
        context.containsKey("limitId")
            ? "limits/" + context.get("limitId")
            : failure.reason().name();
    return QuotaFailure.newBuilder()
        .addViolations(
            QuotaFailure.Violation.newBuilder()
                .setSubject(subject)
                .setDescription(String.valueOf(failure.getMessage())))
        .build();
  }

  private static ResourceInfo resourceInfo(SandkeeperException failure) {
    String name = failure.reason().name();
    String type =
        name.endsWith("_NOT_FOUND")
            ? name.substring(0, name.length() - "_NOT_FOUND".length())
            : name;
    return ResourceInfo.newBuilder()
        .setResourceType(type)
        .setResourceName(String.join(" ", failure.context().values()))
        .build();
  }

  private static ErrorInfo errorInfo(String reason, Map<String, String> context) {
    return ErrorInfo.newBuilder()
        .setReason(reason)
        .setDomain(DOMAIN)
        .putAllMetadata(context)
        .build();
  }

  private static RetryInfo retryInfo(Duration delay) {
    return RetryInfo.newBuilder().setRetryDelay(Times.toProto(delay)).build();
  }

  /** Adds ErrorInfo to what the gRPC library itself refuses, such as an unknown method. */
  private static Status withErrorInfo(io.grpc.Status refused) {
    String description = refused.getDescription();
    if (description != null && description.startsWith(DEFRAMER_REFUSAL)) {
      return noFrame(description.substring(DEFRAMER_REFUSAL.length()));
    }
    return Status.newBuilder()
        .setCode(refused.getCode().value())
        .setMessage(ErrorSize.cut(description == null ? refused.getCode().name() : description))
        .addDetails(Any.pack(errorInfo("GRPC_" + refused.getCode().name(), Map.of())))
        .build();
  }
}
