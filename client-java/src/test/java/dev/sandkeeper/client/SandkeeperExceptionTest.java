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
import dev.sandkeeper.v1.SandboxServiceGrpc;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SandkeeperExceptionTest {
  @Test
  void refusalCarriesEverythingTheServerSaid() {
    SandkeeperException thrown =
        refusedWith(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorInfo.newBuilder()
                .setReason("QUOTA_EXCEEDED")
                .putMetadata("limit", "day")
                .putMetadata("remainingNanoUsd", "12")
                .build(),
            RetryInfo.newBuilder()
                .setRetryDelay(
                    com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(500_000_000))
                .build());

    assertThat(thrown.code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    assertThat(thrown.reason()).isEqualTo("QUOTA_EXCEEDED");
    assertThat(thrown.metadata()).isEqualTo(Map.of("limit", "day", "remainingNanoUsd", "12"));
    assertThat(thrown.retryDelay()).contains(Duration.ofMillis(1500));
    assertThat(thrown.violations()).isEmpty();
    assertThat(thrown)
        .hasMessage("RESOURCE_EXHAUSTED QUOTA_EXCEEDED: Refused. {limit=day, remainingNanoUsd=12}");
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

    SandkeeperException thrown = refused(status(Status.Code.ABORTED).addDetails(broken).build());

    assertThat(thrown.code()).isEqualTo(Status.Code.ABORTED);
    assertThat(thrown.reason()).isEqualTo("ABORTED");
    assertThat(thrown).hasMessage("ABORTED: Refused.");
  }

  @Test
  void unreachableServerIsNamedByItsCode() {
    try (SandkeeperClient client =
        SandkeeperClient.builder("127.0.0.1:1", "key").plaintext().build()) {
      assertThatThrownBy(client::getQuota)
          .isInstanceOfSatisfying(
              SandkeeperException.class, e -> assertThat(e.reason()).isEqualTo("UNAVAILABLE"));
    }
  }

  private static SandkeeperException refusedWith(Status.Code code, Message... details) {
    com.google.rpc.Status.Builder status = status(code);
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return refused(status.build());
  }

  private static com.google.rpc.Status.Builder status(Status.Code code) {
    return com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("Refused.");
  }

  private static SandkeeperException refused(com.google.rpc.Status status) {
    SandboxServiceGrpc.SandboxServiceImplBase service =
        new SandboxServiceGrpc.SandboxServiceImplBase() {
          @Override
          public void createSandbox(
              CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> answer) {
            answer.onError(StatusProto.toStatusRuntimeException(status));
          }
        };
    try (FakeServer server = new FakeServer(service);
        SandkeeperClient client = server.client()) {
      client.createSandbox(CreateSandboxRequest.getDefaultInstance());
      throw new AssertionError("the call was not refused");
    } catch (SandkeeperException e) {
      return e;
    }
  }
}
