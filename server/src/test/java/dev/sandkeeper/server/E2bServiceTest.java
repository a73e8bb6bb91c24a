package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Timestamp;
import com.google.rpc.RetryInfo;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.engine.e2b.Peer;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: what a caller does with a sandbox at E2B is what he does with one of this machine, and it
// is booked alike. Method: a server whose E2B is the test peer.
final class E2bServiceTest {
  private static final Peer peer = Peer.start();

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_ENGINE_E2B_API_KEY", peer.key(),
              "SANDKEEPER_ENGINE_E2B_API_URL", peer.uri().toString(),
              "SANDKEEPER_ENGINE_E2B_SANDBOX_URL", peer.uri().toString(),
              "SANDKEEPER_ENGINE_E2B_MAX_SANDBOXES", "2"));

  private static String template;

  private final Caller admin = server.admin();

  @BeforeAll
  static void makeTemplate() {
    Resources size = Resources.newBuilder().setCpuCores(2).setMemoryMib(512).build();
    template =
        EngineFixture.template(
            server.admin(),
            made ->
                made.setEngine("e2b")
                    .setEngineTemplate("base")
                    .setMinResources(size)
                    .setDefaultResources(size)
                    .setMaxResources(size));
  }

  @AfterAll
  static void stopPeer() {
    try (peer) {
      assertThat(peer.violations()).isEmpty();
    }
  }

  private Sandbox create() {
    return admin.create(E2bServiceTest::ofTemplate);
  }

  private static CreateSandboxRequest.Builder ofTemplate(CreateSandboxRequest.Builder request) {
    return request.setTemplate(template);
  }

  @Test
  void aSandboxAtE2bIsUsedAndBilledAsAnyOther() {
    Sandbox sandbox = create();
    assertThat(sandbox.getEngine()).isEqualTo("e2b");
    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo $((6 * 7))")))
        .isEqualTo("42\n");
    assertThat(EngineFixture.engine(admin, "e2b").getLiveSandboxes()).isEqualTo(1);

    Sandbox ended = admin.terminate(sandbox.getSandboxId());

    assertThat(ended.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(peer.sandboxes()).isEmpty();
    assertThat(admin.costRecords(sandbox.getSandboxId()))
        .isNotEmpty()
        .allSatisfy(record -> assertThat(record.getSandboxId()).isEqualTo(sandbox.getSandboxId()));
  }

  @Test
  void noMoreThanTheAccountMayHave() {
    Sandbox first = create();
    Sandbox second = create();

    Refusal full =
        Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.ENGINE_FULL, this::create);

    assertThat(full.info().getMetadataMap()).containsEntry("engine", "e2b");
    var _ = admin.terminate(first.getSandboxId());
    var _ = admin.terminate(second.getSandboxId());
  }

  @Test
  void theCallerIsToldWhenE2bWantsToBeAskedAgain() {
    Map<String, String> headers = Map.of("Retry-After", "200");
    peer.fault("status", "^/sandboxes$", "status", 429, "headers", headers);

    Refusal refused =
        Refusal.of(Status.Code.UNAVAILABLE, ErrorReason.ENGINE_UNAVAILABLE, this::create);

    assertThat(refused.detail(RetryInfo.class).orElseThrow().getRetryDelay().getSeconds())
        .isEqualTo(200);
  }

  @Test
  void whileE2bIsDownNewSandboxesGoElsewhereWhereTheTemplateSaysSo() {
    peer.fault("status", "^/sandboxes$", "status", 503, "times", 100);
    try {
      String fallback =
          EngineFixture.template(admin, made -> made.setEngine("e2b").addFallbackEngines("local"));

      Sandbox sandbox = admin.create(request -> request.setTemplate(fallback));

      assertThat(sandbox.getEngine()).isEqualTo("local");
      assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo here")))
          .isEqualTo("here\n");
      var _ = admin.terminate(sandbox.getSandboxId());
    } finally {
      peer.clearFaults();
    }
  }

  @Test
  void aSandboxWhoseCreationWasNotAnsweredIsOneAndBilledOnce() {
    peer.fault("drop_answer", "^/sandboxes$", "method", "POST");
    Sandbox sandbox = create();
    assertThat(peer.sandboxes()).hasSize(1);
    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "sleep 1; echo on")))
        .isEqualTo("on\n");

    Sandbox ended = admin.terminate(sandbox.getSandboxId());

    assertThat(peer.sandboxes()).isEmpty();
    List<CostRecord> records = admin.costRecords(sandbox.getSandboxId());
    // What ran in a span and what did not are two records of it.
    Map<Instant, Instant> spans = new TreeMap<>();
    records.forEach(record -> spans.put(start(record), instant(record.getEndTime())));
    Instant end = instant(ended.getStartTime());
    for (Map.Entry<Instant, Instant> span : spans.entrySet()) {
      assertThat(span.getKey()).isEqualTo(end);
      end = span.getValue();
    }
    assertThat(end).isEqualTo(instant(ended.getEndTime()));
    assertThat(records.stream().map(E2bServiceTest::share).reduce(Duration.ZERO, Duration::plus))
        .isEqualTo(Duration.between(instant(ended.getStartTime()), end))
        .isGreaterThan(Duration.ofSeconds(1));
  }

  private static Instant start(CostRecord record) {
    return instant(record.getStartTime());
  }

  private static Duration share(CostRecord record) {
    return Duration.ofSeconds(record.getShare().getSeconds(), record.getShare().getNanos());
  }

  /** In milliseconds, as cost records are. */
  private static Instant instant(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos()).truncatedTo(ChronoUnit.MILLIS);
  }

  @Test
  void theSandboxesOutliveTheServer() throws Exception {
    Sandbox sandbox = create();
    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo kept > kept"))).isEmpty();

    server.restart();

    assertThat(Caller.stdout(server.admin().shell(sandbox.getSandboxId(), "cat kept")))
        .isEqualTo("kept\n");
    var _ = server.admin().terminate(sandbox.getSandboxId());
  }
}
