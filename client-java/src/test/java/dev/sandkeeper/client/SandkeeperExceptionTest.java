package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import com.google.protobuf.StringValue;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SandkeeperExceptionTest {
  @Test
  void refusalCarriesEverythingTheServerSaid() {
    SandkeeperException thrown =
        refusedWith(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorInfo.newBuilder()
                .setReason("TOO_MANY_REQUESTS")
                .putMetadata("maxRunning", "64")
                .putMetadata("also", "this")
                .build(),
            RetryInfo.newBuilder().setRetryDelay(Times.toProto(Duration.ofMillis(1500))).build());

    assertThat(thrown.code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    assertThat(thrown.reason()).isEqualTo("TOO_MANY_REQUESTS");
    assertThat(thrown.metadata()).isEqualTo(Map.of("maxRunning", "64", "also", "this"));
    assertThat(thrown.retryDelay()).contains(Duration.ofMillis(1500));
    assertThat(thrown.violations()).isEmpty();
    assertThat(thrown).isNotInstanceOf(QuotaExceededException.class);
    assertThat(thrown)
        .hasMessage("RESOURCE_EXHAUSTED TOO_MANY_REQUESTS: Refused. {also=this, maxRunning=64}");
  }

  @Test
  void refusalByALimitCarriesItsFigures() {
    SandkeeperException thrown =
        refusedWith(
            Status.Code.RESOURCE_EXHAUSTED,
            quotaExceeded().putMetadata("resetTime", "2026-12-01T00:00:00Z").build());

    assertThat(thrown)
        .isInstanceOfSatisfying(
            QuotaExceededException.class,
            e -> {
              assertThat(e.limitId()).isEqualTo("2");
              assertThat(e.period()).isEqualTo(LimitPeriod.LIMIT_PERIOD_MONTH);
              assertThat(e.remaining()).isEqualTo(12);
              assertThat(e.remainingUsd()).isEqualTo("0.000000012");
              assertThat(e.needed()).isEqualTo(2_112_500);
              assertThat(e.neededUsd()).isEqualTo("0.002112500");
              assertThat(e.resetTime()).contains(Instant.parse("2026-12-01T00:00:00Z"));
              assertThat(e.reason()).isEqualTo("QUOTA_EXCEEDED");
            });
  }

  @Test
  void limitThatNeverResetsHasNoResetTime() {
    SandkeeperException thrown =
        refusedWith(Status.Code.RESOURCE_EXHAUSTED, quotaExceeded().build());

    assertThat(thrown)
        .isInstanceOfSatisfying(
            QuotaExceededException.class, e -> assertThat(e.resetTime()).isEmpty());
  }

  @Test
  void refusalByALimitWithFiguresThatCannotBeReadKeepsThemAsTheyCame() {
    for (String key : List.of("period", "remainingNanoUsd", "neededNanoUsd", "resetTime")) {
      SandkeeperException thrown =
          refusedWith(
              Status.Code.RESOURCE_EXHAUSTED, quotaExceeded().putMetadata(key, "soon").build());

      assertThat(thrown).isNotInstanceOf(QuotaExceededException.class);
      assertThat(thrown.metadata()).containsEntry(key, "soon");
    }
  }

  private static ErrorInfo.Builder quotaExceeded() {
    return ErrorInfo.newBuilder()
        .setReason("QUOTA_EXCEEDED")
        .putMetadata("limitId", "2")
        .putMetadata("period", "MONTH")
        .putMetadata("remainingNanoUsd", "12")
        .putMetadata("neededNanoUsd", "2112500");
  }

  @Test
  void invalidRequestNamesItsFields() {
    SandkeeperException thrown =
        refusedWith(
            Status.Code.INVALID_ARGUMENT,
            ErrorInfo.newBuilder().setReason("INVALID_FIELD").build(),
            BadRequest.newBuilder()
                .addFieldViolations(
                    BadRequest.FieldViolation.newBuilder()
                        .setField("resources.cpu_cores")
                        .setDescription("must be at most 8"))
                .build());

    assertThat(thrown.violations())
        .containsExactly(new FieldViolation("resources.cpu_cores", "must be at most 8"));
    assertThat(thrown)
        .hasMessage(
            "INVALID_ARGUMENT INVALID_FIELD: Refused.; resources.cpu_cores: must be at most 8");
  }

  @Test
  void detailsOfUnknownTypeArePassedOver() {
    SandkeeperException thrown =
        refusedWith(
            Status.Code.NOT_FOUND,
            StringValue.of("from the future"),
            ErrorInfo.newBuilder().setReason("SANDBOX_NOT_FOUND").build());

    assertThat(thrown.reason()).isEqualTo("SANDBOX_NOT_FOUND");
    assertThat(thrown.retryDelay()).isEmpty();
  }

  @Test
  void brokenDetailHidesNothingElse() {
    Any broken =
        Any.newBuilder()
            .setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo")
            .setValue(ByteString.copyFrom(new byte[] {-1, -1, -1}))
            .build();

    SandkeeperException thrown = refusedWith(Status.Code.ABORTED, broken);

    assertThat(thrown.code()).isEqualTo(Status.Code.ABORTED);
    assertThat(thrown.reason()).isEqualTo("ABORTED");
    assertThat(thrown).hasMessage("ABORTED: Refused.");
  }

  @Test
  void unreachableServerIsNamedByItsCode() {
    try (SandkeeperClient client =
        SandkeeperClient.builder("127.0.0.1:1").apiKey("key").plaintext().build()) {
      assertThatThrownBy(client::getQuota)
          .isInstanceOfSatisfying(
              SandkeeperException.class, e -> assertThat(e.reason()).isEqualTo("UNAVAILABLE"));
    }
  }

  private static SandkeeperException refusedWith(Status.Code code, Message... details) {
    SandboxServiceGrpc.SandboxServiceImplBase service =
        new SandboxServiceGrpc.SandboxServiceImplBase() {
          @Override
          public void createSandbox(
              CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> answer) {
            answer.onError(Refusals.of(code, details));
          }
        };
    try (FakeServer server = new FakeServer(service);
        SandkeeperClient client = server.client()) {
      client.createSandbox();
      throw new AssertionError("the call was not refused");
    } catch (SandkeeperException e) {
      return e;
    }
  }
}
