package dev.sandkeeper.server.api;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.stream.ClosedStreamException;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import io.grpc.Metadata;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Every reason has its canonical code, and details that say what to do. */
class ErrorMapperTest {
  private final ErrorMapper mapper = new ErrorMapper();

  @ParameterizedTest
  @EnumSource(ErrorReason.class)
  void everyReasonIsToldWithItsContext(ErrorReason reason) throws Exception {
    SandkeeperException failure =
        SandkeeperException.of(reason, "Do that.").with("limitId", "7").with("key", "value");

    Status status = map(failure);

    assertThat(status.getCode()).isEqualTo(ErrorMapper.code(reason).getNumber()).isNotZero();
    assertThat(status.getMessage()).isEqualTo("Do that.");
    ErrorInfo info = detail(status, ErrorInfo.class).orElseThrow();
    assertThat(info.getReason()).isEqualTo(reason.name());
    assertThat(info.getDomain()).isEqualTo("sandkeeper.dev");
    assertThat(info.getMetadataMap()).containsEntry("key", "value").hasSize(2);
    assertThat(detail(status, RetryInfo.class)).isEmpty();
    switch (ErrorMapper.code(reason)) {
      case INVALID_ARGUMENT -> assertThat(detail(status, BadRequest.class)).isPresent();
      case RESOURCE_EXHAUSTED ->
          assertThat(detail(status, QuotaFailure.class).orElseThrow().getViolations(0).getSubject())
              .isEqualTo("limits/7");
      case NOT_FOUND, ALREADY_EXISTS ->
          assertThat(detail(status, ResourceInfo.class).orElseThrow().getResourceName())
              .isEqualTo("value 7");
      case FAILED_PRECONDITION ->
          assertThat(
                  detail(status, PreconditionFailure.class)
                      .orElseThrow()
                      .getViolations(0)
                      .getType())
              .isEqualTo(reason.name());
      default -> assertThat(status.getDetailsCount()).isEqualTo(1);
    }
  }

  /** The codes are the contract: callers branch on them. */
  @ParameterizedTest
  @CsvSource({
    "QUOTA_EXCEEDED, RESOURCE_EXHAUSTED",
    "TOO_MANY_REQUESTS, RESOURCE_EXHAUSTED",
    "SIZE_LIMIT_EXCEEDED, RESOURCE_EXHAUSTED",
    "NO_PRICE_FOR_TIER, FAILED_PRECONDITION",
    "SANDBOX_NOT_FOUND, NOT_FOUND",
    "SANDBOX_NOT_RUNNING, FAILED_PRECONDITION",
    "INTERPRETER_MISSING, FAILED_PRECONDITION",
    "REQUEST_ID_REUSED, ALREADY_EXISTS",
    "SEQUENCE_NOT_KEPT, OUT_OF_RANGE",
    "ENGINE_UNAVAILABLE, UNAVAILABLE",
    "DATABASE_UNAVAILABLE, UNAVAILABLE",
    "INVALID_CREDENTIALS, UNAUTHENTICATED",
    "SCOPE_MISSING, PERMISSION_DENIED",
    "INVALID_FIELD, INVALID_ARGUMENT",
    "CONCURRENT_CHANGE, ABORTED",
    "INTERNAL, INTERNAL",
  })
  void theCodesAreThoseOfTheContract(ErrorReason reason, Code code) {
    assertThat(ErrorMapper.code(reason)).isEqualTo(code);
  }

  @Test
  void fieldsAndTheDelayAreTold() throws Exception {
    Status fields =
        map(
            SandkeeperException.invalidFields(
                List.of(new FieldViolation("a.b", "1 (expected: 2)"))));
    Status busy =
        map(
            SandkeeperException.of(ErrorReason.ENGINE_UNAVAILABLE, "Wait.")
                .retryAfter(Duration.ofMillis(1500)));

    BadRequest.FieldViolation violation =
        detail(fields, BadRequest.class).orElseThrow().getFieldViolations(0);
    assertThat(violation.getField()).isEqualTo("a.b");
    assertThat(violation.getDescription()).isEqualTo("1 (expected: 2)");
    RetryInfo retry = detail(busy, RetryInfo.class).orElseThrow();
    assertThat(retry.getRetryDelay().getSeconds()).isEqualTo(1);
    assertThat(retry.getRetryDelay().getNanos()).isEqualTo(500_000_000);
  }

  @Test
  void aBugIsToldWithoutWhatItSays() throws Exception {
    Status status = map(new IllegalStateException("secret"));

    assertThat(status.getCode()).isEqualTo(Code.INTERNAL_VALUE);
    assertThat(status.toString()).doesNotContain("secret");
    assertThat(detail(status, ErrorInfo.class).orElseThrow().getReason()).isEqualTo("INTERNAL");
  }

  @Test
  void whoHungUpIsNoBug() {
    assertThat(map(ClosedStreamException.get()).getCode()).isEqualTo(Code.CANCELLED_VALUE);
  }

  @Test
  void whatTheLibraryRefusesHasErrorInfoToo() throws Exception {
    Status status =
        map(io.grpc.Status.UNIMPLEMENTED.withDescription("no such method").asRuntimeException());

    assertThat(status.getCode()).isEqualTo(Code.UNIMPLEMENTED_VALUE);
    assertThat(detail(status, ErrorInfo.class).orElseThrow().getReason())
        .isEqualTo("GRPC_UNIMPLEMENTED");
  }

  @Test
  void whatIsLongIsCutSoThatClientsCanReadIt() throws Exception {
    String longest = "\u00e9".repeat(5000);
    Status status =
        map(
            SandkeeperException.of(ErrorReason.FILE_NOT_FOUND, "There is no such file.")
                .with("path", longest)
                .with("sandboxId", "abc")
                .retryAfter(Duration.ofSeconds(1)));
    assertThat(status.getSerializedSize()).isLessThanOrEqualTo(4096);
    assertThat(detail(status, ErrorInfo.class).orElseThrow().getMetadataMap())
        .containsEntry("path", "\u00e9".repeat(100) + "...")
        .containsEntry("sandboxId", "abc");
    assertThat(detail(status, RetryInfo.class)).isPresent();

    Status invalid =
        map(
            SandkeeperException.invalidFields(
                Collections.nCopies(100, new FieldViolation(longest, longest))));
    assertThat(invalid.getSerializedSize()).isLessThanOrEqualTo(4096);
    assertThat(detail(invalid, BadRequest.class).orElseThrow().getFieldViolationsList())
        .hasSize(9)
        .last()
        .extracting(BadRequest.FieldViolation::getDescription)
        .isEqualTo("92 more violations");
  }

  private Status map(Throwable failure) {
    Metadata trailers = new Metadata();
    io.grpc.Status status =
        mapper.apply(
            ServiceRequestContext.of(HttpRequest.of(HttpMethod.POST, "/")),
            io.grpc.Status.fromThrowable(failure),
            failure,
            trailers);
    Status details = Objects.requireNonNull(trailers.get(ErrorMapper.DETAILS));
    assertThat(status.getCode().value()).isEqualTo(details.getCode());
    return details;
  }

  private static <T extends com.google.protobuf.Message> Optional<T> detail(
      Status status, Class<T> kind) throws Exception {
    for (Any detail : status.getDetailsList()) {
      if (detail.is(kind)) {
        return Optional.of(detail.unpack(kind));
      }
    }
    return Optional.empty();
  }
}
