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
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The one place where a failure becomes an HTTP answer: a status, and a google.rpc.Status as JSON,
 * whoever found the fault and however early.
 */
final class HttpErrors implements ServerErrorHandler, UnframedGrpcErrorHandler {
  private static final String STATUS_DETAILS = "grpc-status-details-bin";

  /** Where the mapping of codes would mislead clients of HTTP. */
  private static final Map<String, HttpStatus> BY_REASON =
      Map.of(
          // It would be 429, which clients take for a reason to send it all again.
          ErrorReason.SIZE_LIMIT_EXCEEDED.name(), HttpStatus.REQUEST_ENTITY_TOO_LARGE,
          ErrorReason.TOO_MANY_CONNECTIONS.name(), HttpStatus.SERVICE_UNAVAILABLE,
          // These tell a fault of the program behind the server from one of the server.
          ErrorReason.PORT_NOT_OPEN.name(), HttpStatus.BAD_GATEWAY,
          ErrorReason.PORT_FAILED.name(), HttpStatus.BAD_GATEWAY);

  private final List<Endpoint> endpoints;

  /**
   * Makes the answers.
   *
   * @param endpoints what there is, for who asks in a wrong way
   */
  HttpErrors(List<Endpoint> endpoints) {
    this.endpoints = List.copyOf(endpoints);
  }

  /** How a failure is answered. */
  private record Failure(HttpStatus http, Status status, HttpHeaders headers) {
    Failure(Status status) {
      this(httpStatus(status), status, HttpHeaders.of());
    }

    Failure(HttpStatus http, @Nullable String message, @Nullable Throwable cause) {
      this(http, HttpErrors.status(http, message, cause), HttpHeaders.of());
    }
  }

  @Override
  public @Nullable HttpResponse onServiceException(ServiceRequestContext context, Throwable cause) {
    Failure failure = failure(context, cause);
    return failure == null
        ? null
        : answer(failure, context.request().headers().contentType()).toHttpResponse();
  }

  private static @Nullable Failure failure(ServiceRequestContext context, Throwable cause) {
    return switch (cause) {
      case HttpFailure refused when refused.getCause() instanceof SandkeeperException known ->
          new Failure(refused.status(), ErrorMapper.status(known), refused.headers());
      case HttpFailure refused ->
          new Failure(
              refused.status(),
              status(refused.status(), refused.getMessage(), null),
              refused.headers());
      case HttpStatusException refused when refused.httpStatus().isError() ->
          new Failure(refused.httpStatus(), null, refused.getCause());
      case HttpStatusException _, HttpResponseException _ -> null;
      case ShuttingDownException _ ->
          new Failure(
              ErrorMapper.status(
                  SandkeeperException.of(
                          ErrorReason.SHUTTING_DOWN, "The server stops; try another or later.")
                      .retryAfter(Duration.ofSeconds(1))));
      default -> new Failure(ErrorMapper.status(context, cause));
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
    String methods = context == null ? "" : methodsAt(context.path());
    boolean wrongMethod =
        status.equals(HttpStatus.METHOD_NOT_ALLOWED) || status.equals(HttpStatus.NOT_FOUND);
    Failure failure =
        wrongMethod && !methods.isEmpty()
            ? new Failure(
                HttpStatus.METHOD_NOT_ALLOWED,
                status(HttpStatus.METHOD_NOT_ALLOWED, description, cause),
                HttpHeaders.of(HttpHeaderNames.ALLOW, methods))
            : new Failure(status, description, cause);
    return answer(failure, headers == null ? null : headers.contentType());
  }

  private String methodsAt(String path) {
    return endpoints.stream()
        .filter(endpoint -> endpoint.isAt(path))
        .map(endpoint -> endpoint.method().name())
        .collect(Collectors.joining(", "));
  }

  /** Answers what a service refused in a call that came as JSON. */
  @Override
  public HttpResponse handle(
      ServiceRequestContext context, io.grpc.Status status, AggregatedHttpResponse response) {
    HttpHeaders trailers = response.trailers().isEmpty() ? response.headers() : response.trailers();
    return answer(new Failure(details(trailers.get(STATUS_DETAILS, ""), status)), null)
        .toHttpResponse();
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

  /**
   * Answers a failure.
   *
   * @param asked the media type of the request: whoever speaks gRPC is answered in gRPC
   */
  private static AggregatedHttpResponse answer(Failure failure, @Nullable MediaType asked) {
    Status status = failure.status();
    if (asked != null && asked.subtype().startsWith("grpc")) {
      return grpcAnswer(failure, asked);
    }
    ResponseHeadersBuilder headers =
        ResponseHeaders.builder(failure.http())
            .contentType(MediaType.JSON_UTF_8)
            .set(HttpHeaderNames.CACHE_CONTROL, "no-store")
            .add(failure.headers());
    if (failure.http().equals(HttpStatus.UNAUTHORIZED)) {
      headers.set(HttpHeaderNames.WWW_AUTHENTICATE, "Bearer");
    }
    detail(status, RetryInfo.class)
        .ifPresent(retry -> headers.setLong(HttpHeaderNames.RETRY_AFTER, wholeSeconds(retry)));
    return AggregatedHttpResponse.of(headers.build(), HttpData.ofUtf8(ProtoJson.print(status)));
  }

  /**
   * The status follows in trailers, as what answers a request that is refused while it arrives does
   * not end the stream with its headers, and clients take that for no status at all. Browsers do
   * not see trailers; gRPC-Web has it in the headers.
   */
  private static AggregatedHttpResponse grpcAnswer(Failure failure, MediaType asked) {
    Status status = failure.status();
    // For gRPC a path that is not there is a method that is not implemented.
    int code =
        failure.http().equals(HttpStatus.NOT_FOUND) ? Code.UNIMPLEMENTED_VALUE : status.getCode();
    HttpHeaders fields =
        HttpHeaders.builder()
            .setInt("grpc-status", code)
            .set("grpc-message", status.getMessage().replaceAll("[^ -~]|%", "?"))
            .set(
                STATUS_DETAILS,
                Base64.getEncoder()
                    .encodeToString(status.toBuilder().setCode(code).build().toByteArray()))
            .build();
    ResponseHeadersBuilder headers = ResponseHeaders.builder(HttpStatus.OK).contentType(asked);
    return asked.subtype().startsWith("grpc-web")
        ? AggregatedHttpResponse.of(headers.add(fields).build())
        : AggregatedHttpResponse.of(headers.build(), HttpData.empty(), fields);
  }

  /** Returns the HTTP status of a failure, as google.rpc.Code maps it but for some reasons. */
  static HttpStatus httpStatus(Status status) {
    HttpStatus byReason =
        detail(status, ErrorInfo.class).map(info -> BY_REASON.get(info.getReason())).orElse(null);
    if (byReason != null) {
      return byReason;
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
  private static Status status(
      HttpStatus status, @Nullable String message, @Nullable Throwable cause) {
    if (cause instanceof ContentTooLargeException tooLarge) {
      return ErrorMapper.status(tooLarge);
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
