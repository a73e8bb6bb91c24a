package dev.sandkeeper.server.http;

import static org.assertj.core.api.Assertions.assertThat;

import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Every reason has its HTTP status, and says when to come again where that helps. */
class HttpErrorsStatusTest {
  private final HttpErrors errors = new HttpErrors(List.of());

  @ParameterizedTest
  @EnumSource(ErrorReason.class)
  void everyReasonHasItsStatus(ErrorReason reason) {
    AggregatedHttpResponse answer = answer("", SandkeeperException.of(reason, "Do that."));

    assertThat(answer.status().code())
        .isEqualTo(
            switch (reason) {
              case INVALID_FIELD,
                  SANDBOX_NOT_RUNNING,
                  SANDBOX_PAUSED,
                  SANDBOX_ELSEWHERE,
                  INTERPRETER_MISSING,
                  RUNTIME_MISSING,
                  ENGINE_MISSING,
                  EXECUTION_FINISHED,
                  INPUT_NOT_OPEN,
                  INPUT_CLOSED,
                  INPUT_GAP,
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
                  SECRET_UNREADABLE,
                  SEQUENCE_NOT_KEPT,
                  REPORT_TOO_LARGE ->
                  400;
              case INVALID_CREDENTIALS -> 401;
              case SCOPE_MISSING, COMMAND_DENIED -> 403;
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
                  404;
              case REQUEST_ID_REUSED, ALREADY_EXISTS, CONCURRENT_CHANGE, SANDBOX_TAKEN_OVER -> 409;
              case SIZE_LIMIT_EXCEEDED -> 413;
              case QUOTA_EXCEEDED,
                  ENGINE_FULL,
                  TOO_MANY_LIMITS,
                  TOO_MANY_CONTEXTS,
                  TOO_MANY_REQUESTS,
                  RATE_LIMITED,
                  TOO_MANY_WEBHOOKS,
                  TOO_MANY_SECRETS,
                  TOO_MANY_TEMPLATES,
                  INPUT_FULL ->
                  429;
              case INTERNAL -> 500;
              case PORT_NOT_OPEN, PORT_FAILED -> 502;
              case ENGINE_UNAVAILABLE, DATABASE_UNAVAILABLE, SHUTTING_DOWN, TOO_MANY_CONNECTIONS ->
                  503;
              case DEADLINE_EXCEEDED -> 504;
            });
    assertThat(answer.contentUtf8()).contains(reason.name()).contains("Do that.");
    assertThat(answer.headers().get("retry-after")).isNull();
  }

  @ParameterizedTest
  @CsvSource({
    "TOO_MANY_REQUESTS, PT1S, 1",
    "ENGINE_UNAVAILABLE, PT0.2S, 1",
    "DATABASE_UNAVAILABLE, PT1.001S, 2",
    "SHUTTING_DOWN, PT0S, 1",
  })
  void whatMayBeTriedAgainSaysWhen(ErrorReason reason, Duration delay, String seconds) {
    AggregatedHttpResponse answer =
        answer("", SandkeeperException.of(reason, "Wait.").retryAfter(delay));

    assertThat(answer.headers().get("retry-after")).isEqualTo(seconds);
  }

  @ParameterizedTest
  @CsvSource({"application/grpc", "application/grpc+proto", "application/grpc-web-text+proto"})
  void whoSpeaksGrpcIsAnsweredInGrpc(String type) {
    AggregatedHttpResponse answer =
        answer(type, SandkeeperException.of(ErrorReason.QUOTA_EXCEEDED, "50% gone."));

    assertThat(answer.status().code()).isEqualTo(200);
    assertThat(answer.headers().get("content-type")).isEqualTo(type);
    // Browsers see no trailers.
    HttpHeaders fields = type.contains("grpc-web") ? answer.headers() : answer.trailers();
    assertThat(fields.get("grpc-status")).isEqualTo("8");
    assertThat(fields.get("grpc-message")).isEqualTo("50? gone.");
    assertThat(answer.content().isEmpty()).isTrue();
  }

  private AggregatedHttpResponse answer(String contentType, SandkeeperException failure) {
    RequestHeaders headers =
        contentType.isEmpty()
            ? RequestHeaders.of(HttpMethod.POST, "/")
            : RequestHeaders.of(HttpMethod.POST, "/", "content-type", contentType);
    HttpResponse response =
        errors.onServiceException(ServiceRequestContext.of(HttpRequest.of(headers)), failure);
    return Objects.requireNonNull(response).aggregate().join();
  }
}
