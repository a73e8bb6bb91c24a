package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetQuotaResponse;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListCostRecordsResponse;
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
  void listsGoOnPageByPageAsTheyAreRead() {
    List<String> tokens = new ArrayList<>();
    CostServiceGrpc.CostServiceImplBase costs =
        new CostServiceGrpc.CostServiceImplBase() {
          @Override
          public void listCostRecords(
              ListCostRecordsRequest request, StreamObserver<ListCostRecordsResponse> observer) {
            tokens.add(request.getPageToken());
            int page = tokens.size();
            observer.onNext(
                ListCostRecordsResponse.newBuilder()
                    .addCostRecords(CostRecord.newBuilder().setCostRecordId(page + "a"))
                    .addCostRecords(CostRecord.newBuilder().setCostRecordId(page + "b"))
                    .setNextPageToken(page < 3 ? "page " + (page + 1) : "")
                    .build());
            observer.onCompleted();
          }
        };
    ListCostRecordsRequest request = ListCostRecordsRequest.getDefaultInstance();
    try (FakeServer server = new FakeServer(costs);
        SandkeeperClient client = server.client()) {
      assertThat(client.listCostRecords(request).map(CostRecord::getCostRecordId))
          .containsExactly("1a", "1b", "2a", "2b", "3a", "3b");
      assertThat(tokens).containsExactly("", "page 2", "page 3");

      tokens.clear();
      assertThat(client.listCostRecords(request).limit(2)).hasSize(2);
      assertThat(tokens).containsExactly("");
    }
  }

  @Test
  void closedHandleHasEndedItsSandbox() {
    Creations creations = new Creations();
    try (FakeServer server = new FakeServer(creations);
        SandkeeperClient client = server.client()) {
      try (SandboxHandle sandbox = client.createSandbox(Duration.ofMinutes(2))) {
        assertThat(sandbox.id()).isEqualTo("s".repeat(20));
        assertThat(creations.ended).isEmpty();
      }
    }

    assertThat(creations.timeout).isEqualTo(Times.toProto(Duration.ofMinutes(2)));
    assertThat(creations.ended).containsExactly("s".repeat(20));
  }

  /** Answers creations and ends, and keeps what they asked for. */
  private static final class Creations extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final List<String> requestIds = new ArrayList<>();
    private final List<String> ended = new ArrayList<>();
    private com.google.protobuf.Duration timeout =
        com.google.protobuf.Duration.getDefaultInstance();
    private com.google.protobuf.Duration grace = com.google.protobuf.Duration.getDefaultInstance();

    @Override
    public void createSandbox(
        CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> answer) {
      requestIds.add(request.getRequestId());
      timeout = request.getTimeout();
      Sandbox sandbox = Sandbox.newBuilder().setSandboxId("s".repeat(20)).build();
      answer.onNext(CreateSandboxResponse.newBuilder().setSandbox(sandbox).build());
      answer.onCompleted();
    }

    @Override
    public void terminateSandbox(
        TerminateSandboxRequest request, StreamObserver<TerminateSandboxResponse> answer) {
      grace = request.getGrace();
      ended.add(request.getSandboxId());
      answer.onNext(
          TerminateSandboxResponse.newBuilder().setSandbox(Sandbox.getDefaultInstance()).build());
      answer.onCompleted();
    }
  }
}
