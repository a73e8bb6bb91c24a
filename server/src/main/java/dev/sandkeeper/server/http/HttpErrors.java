package dev.sandkeeper.server.http;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.ContentTooLargeException;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.ResponseHeadersBuilder;
import com.linecorp.armeria.common.ShuttingDownException;
import com.linecorp.armeria.server.HttpResponseException;
import com.linecorp.armeria.server.HttpStatusException;
import com.linecorp.armeria.server.ServerErrorHandler;
import com.linecorp.armeria.server.ServiceConfig;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.grpc.UnframedGrpcErrorHandler;
import dev.sandkeeper.server.api.ErrorMapper;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.Base64;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The one place where a failure becomes an HTTP answer: a status, and a google.rpc.Status as JSON,
 * whoever found the fault and however early.
 */
final class HttpErrors implements ServerErrorHandler, UnframedGrpcErrorHandler {
  private static final String STATUS_DETAILS = "grpc-status-details-bin";

  @Override
  public @Nullable HttpResponse onServiceException(ServiceRequestContext context, Throwable cause) {
    return switch (cause) {
      case HttpFailure failure ->
          answer(
                  failure.status(),
                  http(failure.status(), failure.getMessage(), null),
                  failure.headers())
              .toHttpResponse();
      case HttpStatusException refused when refused.httpStatus().isError() -> {
        Throwable reason = refused.getCause();
        yield answer(refused.httpStatus(), http(refused.httpStatus(), null, reason))
            .toHttpResponse();
      }
      case HttpStatusException _, HttpResponseException _ -> null;
      case ContentTooLargeException tooLarge -> answer(tooLarge(tooLarge)).toHttpResponse();
      case ShuttingDownException _ ->
          answer(
                  ErrorMapper.status(
                      context,
                      SandkeeperException.of(
                              ErrorReason.SHUTTING_DOWN, "The server stops; try another or later.")
                          .retryAfter(Duration.ofSeconds(1))))
              .toHttpResponse();
      default -> answer(ErrorMapper.status(context, cause)).toHttpResponse();
    };
  }

  @Override
  public AggregatedHttpResponse renderStatus(
      @Nullable ServiceRequestContext context,
      ServiceConfig config,
      @Nullable RequestHeaders headers,
      HttpStatus status,
      @Nullable String description,
      @Nullable Throwable cause) {
    if (!status.isError()) {
      return AggregatedHttpResponse.of(status);
    }
    return answer(status, http(status, description, cause));
  }

  /** Answers what a service refused in a call that came as JSON. */
  @Override
  public HttpResponse handle(
      ServiceRequestContext context, io.grpc.Status status, AggregatedHttpResponse response) {
    HttpHeaders trailers = response.trailers().isEmpty() ? response.headers() : response.trailers();
    return answer(details(trailers.get(STATUS_DETAILS, ""), status)).toHttpResponse();
  }

  private static Status details(String base64, io.grpc.Status status) {
    try {
      if (!base64.isEmpty()) {
        return Status.parseFrom(Base64.getDecoder().decode(base64));
      }
    } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
      throw new IllegalStateException("the server's own details cannot be read", e);
    }
    return Status.newBuilder()
        .setCode(status.getCode().value())
        .setMessage(String.valueOf(status.getDescription()))
        .build();
  }

  private static AggregatedHttpResponse answer(Status status) {
    return answer(httpStatus(status), status);
  }

  private static AggregatedHttpResponse answer(HttpStatus http, Status status) {
    return answer(http, status, HttpHeaders.of());
  }

  private static AggregatedHttpResponse answer(
      HttpStatus http, Status status, HttpHeaders headers) {
    ResponseHeadersBuilder builder =
        ResponseHeaders.builder(http)
            .contentType(MediaType.JSON_UTF_8)
            .set(HttpHeaderNames.CACHE_CONTROL, "no-store")
            .add(headers);
    if (http.equals(HttpStatus.UNAUTHORIZED)) {
      builder.set(HttpHeaderNames.WWW_AUTHENTICATE, "Bearer");
    }
    detail(status, RetryInfo.class)
        .ifPresent(retry -> builder.setLong(HttpHeaderNames.RETRY_AFTER, wholeSeconds(retry)));
    return AggregatedHttpResponse.of(builder.build(), HttpData.ofUtf8(ProtoJson.print(status)));
  }

  /** Returns the HTTP status of a failure, as google.rpc.Code maps it but for sizes. */
  static HttpStatus httpStatus(Status status) {
    // By the mapping it would be 429, which clients take for a reason to send it all again.
    boolean tooLarge =
        detail(status, ErrorInfo.class)
            .map(ErrorInfo::getReason)
            .filter(ErrorReason.SIZE_LIMIT_EXCEEDED.name()::equals)
            .isPresent();
    if (tooLarge) {
      return HttpStatus.REQUEST_ENTITY_TOO_LARGE;
    }
    Code code = Code.forNumber(status.getCode());
    return switch (code == null ? Code.UNKNOWN : code) {
      case OK -> HttpStatus.OK;
      case CANCELLED -> HttpStatus.CLIENT_CLOSED_REQUEST;
      case INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE -> HttpStatus.BAD_REQUEST;
      case UNAUTHENTICATED -> HttpStatus.UNAUTHORIZED;
      case PERMISSION_DENIED -> HttpStatus.FORBIDDEN;
      case NOT_FOUND -> HttpStatus.NOT_FOUND;
      case ALREADY_EXISTS, ABORTED -> HttpStatus.CONFLICT;
      case RESOURCE_EXHAUSTED -> HttpStatus.TOO_MANY_REQUESTS;
      case UNIMPLEMENTED -> HttpStatus.NOT_IMPLEMENTED;
      case UNAVAILABLE -> HttpStatus.SERVICE_UNAVAILABLE;
      case DEADLINE_EXCEEDED -> HttpStatus.GATEWAY_TIMEOUT;
      case UNKNOWN, INTERNAL, DATA_LOSS, UNRECOGNIZED -> HttpStatus.INTERNAL_SERVER_ERROR;
    };
  }

  private static Code code(HttpStatus status) {
    return switch (status.code()) {
      case 401 -> Code.UNAUTHENTICATED;
      case 403 -> Code.PERMISSION_DENIED;
      case 404 -> Code.NOT_FOUND;
      case 405, 501 -> Code.UNIMPLEMENTED;
      case 416 -> Code.OUT_OF_RANGE;
      case 413, 429, 431 -> Code.RESOURCE_EXHAUSTED;
      case 503 -> Code.UNAVAILABLE;
      case 408, 504 -> Code.DEADLINE_EXCEEDED;
      default -> status.isClientError() ? Code.INVALID_ARGUMENT : Code.INTERNAL;
    };
  }

  /**
   * Returns what is said where the contract has no reason; the HTTP status is the reason then.
   *
   * @param message what is said; null for what the cause says, or the status itself
   */
  private static Status http(
      HttpStatus status, @Nullable String message, @Nullable Throwable cause) {
    if (cause instanceof ContentTooLargeException tooLarge) {
      return tooLarge(tooLarge);
    }
    String phrase = status.reasonPhrase();
    String said = message == null && cause != null ? cause.getMessage() : message;
    return Status.newBuilder()
        .setCode(code(status).getNumber())
        .setMessage(said == null ? phrase + "." : said)
        .addDetails(
            Any.pack(
                ErrorInfo.newBuilder()
                    .setReason("HTTP_" + phrase.toUpperCase(Locale.ROOT).replaceAll("[^A-Z]+", "_"))
                    .setDomain(ErrorMapper.DOMAIN)
                    .build()))
        .build();
  }

  private static Status tooLarge(ContentTooLargeException cause) {
    return ErrorMapper.status(
        SandkeeperException.of(
                ErrorReason.SIZE_LIMIT_EXCEEDED, "The request has more bytes than is allowed.")
            .with("maxBytes", cause.maxContentLength()));
  }

  private static long wholeSeconds(RetryInfo retry) {
    long seconds = retry.getRetryDelay().getSeconds();
    return retry.getRetryDelay().getNanos() > 0 || seconds == 0 ? seconds + 1 : seconds;
  }

  private static <T extends Message> Optional<T> detail(Status status, Class<T> type) {
    for (Any any : status.getDetailsList()) {
      if (any.is(type)) {
        try {
          return Optional.of(any.unpack(type));
        } catch (InvalidProtocolBufferException e) {
          throw new IllegalStateException("the server's own details cannot be read", e);
        }
      }
    }
    return Optional.empty();
  }
}
