package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetQuotaResponse;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.TerminateSandboxResponse;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class SandkeeperClientTest {
  @Test
  void everyCallCarriesTheKey() {
    Creations creations = new Creations();
    try (FakeServer server = new FakeServer(creations);
        SandkeeperClient client = server.client()) {
      client.createSandbox(CreateSandboxRequest.getDefaultInstance());

      assertThat(server.headers())
          .singleElement()
          .extracting(headers ->
              headers.get(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER)))
          .isEqualTo("Bearer key-for-tests");
    }
  }

  @Test
  void creationGetsARequestIdUnlessItHasOne() {
    Creations creations = new Creations();
    String own = "0d6a2c5e-7d1c-4c92-9f0e-0f8f4be5a001";
    try (FakeServer server = new FakeServer(creations);
        SandkeeperClient client = server.client()) {
      client.createSandbox(CreateSandboxRequest.getDefaultInstance());
      client.createSandbox(CreateSandboxRequest.newBuilder().setRequestId(own).build());
    }

    assertThat(creations.requestIds).hasSize(2);
    assertThat(UUID.fromString(creations.requestIds.get(0)).version()).isEqualTo(4);
    assertThat(creations.requestIds.get(1)).isEqualTo(own);
  }

  @Test
  void graceIsHandedOnExactly() {
    Creations creations = new Creations();
    try (FakeServer server = new FakeServer(creations);
        SandkeeperClient client = server.client()) {
      client.terminateSandbox("a".repeat(20), Duration.ofMillis(1250));
    }

    assertThat(creations.grace.getSeconds()).isEqualTo(1);
    assertThat(creations.grace.getNanos()).isEqualTo(250_000_000);
  }

  @Test
  void callsThatAreNotStreamsHaveADeadline() {
    List<Long> seconds = new ArrayList<>();
    QuotaServiceGrpc.QuotaServiceImplBase quotas =
        new QuotaServiceGrpc.QuotaServiceImplBase() {
          @Override
          public void getQuota(GetQuotaRequest request, StreamObserver<GetQuotaResponse> answer) {
            seconds.add(Context.current().getDeadline().timeRemaining(TimeUnit.SECONDS));
            answer.onNext(GetQuotaResponse.getDefaultInstance());
            answer.onCompleted();
          }
        };
    try (FakeServer server = new FakeServer(quotas);
        SandkeeperClient client = server.client()) {
      assertThat(client.getQuota()).isEmpty();
    }

    assertThat(seconds).singleElement().satisfies(s -> assertThat(s).isBetween(20L, 30L));
  }

  @Test
  void closedClientRefusesCalls() {
    try (FakeServer server = new FakeServer(new Creations())) {
      SandkeeperClient client = server.client();
      client.close();
      assertThatThrownBy(() -> client.getSandbox("a".repeat(20)))
          .isInstanceOf(SandkeeperException.class);
    }
  }

  @Test
  void timeoutMustBePositive() {
    SandkeeperClient.Builder builder = SandkeeperClient.builder("127.0.0.1:1", "key");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder.callTimeout(Duration.ZERO))
        .withMessage("timeout: PT0S (expected: > 0)");
  }

  /** Answers creations and ends, and keeps what they asked for. */
  private static final class Creations extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final List<String> requestIds = new ArrayList<>();
    private com.google.protobuf.Duration grace = com.google.protobuf.Duration.getDefaultInstance();

    @Override
    public void createSandbox(
        CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> answer) {
      requestIds.add(request.getRequestId());
      answer.onNext(
          CreateSandboxResponse.newBuilder().setSandbox(Sandbox.getDefaultInstance()).build());
      answer.onCompleted();
    }

    @Override
    public void terminateSandbox(
        TerminateSandboxRequest request, StreamObserver<TerminateSandboxResponse> answer) {
      grace = request.getGrace();
      answer.onNext(
          TerminateSandboxResponse.newBuilder().setSandbox(Sandbox.getDefaultInstance()).build());
      answer.onCompleted();
    }
  }
}
