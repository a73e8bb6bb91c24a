package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineRecord;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeSandbox;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.EngineDrift;
import dev.sandkeeper.v1.ListEngineDriftsRequest;
import dev.sandkeeper.v1.ListEngineDriftsResponse;
import dev.sandkeeper.v1.PauseSandboxRequest;
import dev.sandkeeper.v1.ResumeSandboxRequest;
import dev.sandkeeper.v1.Sandbox;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: operators see where an engine's own record of a sandbox is not what was billed.
final class EngineDriftServiceTest {
  private static final Instant START = Instant.parse("2026-03-10T12:00:00Z");
  private static final FakeEngine cloud = new FakeEngine("cloud");
  private static final FakeEngine other = new FakeEngine("other");

  static {
    cloud.keepRecords();
    other.keepRecords();
  }

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_ENGINE_DRIFT_TOLERANCE", "1 s",
              "SANDKEEPER_ENGINE_DRIFT_CHECK_DELAY", "100 ms"),
          List.of(added(cloud), added(other)));

  private final Caller admin = server.admin();

  @Test
  void aDriftIsRecordedShownAndCounted() {
    Sandbox sandbox = create("cloud");
    String id = sandbox.getSandboxId();
    var _ =
        admin.sandboxes().pauseSandbox(PauseSandboxRequest.newBuilder().setSandboxId(id).build());
    var _ =
        admin.sandboxes().resumeSandbox(ResumeSandboxRequest.newBuilder().setSandboxId(id).build());
    cloud.record(new SandboxId(id), ran(1_000_000));
    admin.terminate(id);
    long billed =
        admin.costRecords(id).stream()
            .filter(cost -> !cost.getPaused())
            .mapToLong(EngineDriftServiceTest::millis)
            .sum();

    EngineDrift drift = await(id);

    assertThat(Durations.toMillis(drift.getBilledDuration())).isEqualTo(billed);
    assertThat(Durations.toMillis(drift.getReportedDuration())).isEqualTo(1_000_000);
    assertThat(Durations.toMillis(drift.getDrift())).isEqualTo(1_000_000 - billed);
    assertThat(drift.getIsBeyondTolerance()).isTrue();
    assertThat(Durations.toMillis(drift.getTolerance())).isEqualTo(1_000);
    assertThat(drift.getTenantId()).isEqualTo(RunningServer.TENANT);
    assertThat(drift.getEngine()).isEqualTo("cloud");
    assertThat(drift.getRemoteId()).isEqualTo(FakeSandbox.remoteId(new SandboxId(id)));
    assertThat(Timestamps.toMillis(drift.getReportedStartTime())).isEqualTo(START.toEpochMilli());
    assertThat(Timestamps.toMillis(drift.getReportedEndTime()))
        .isEqualTo(START.plusMillis(1_000_000).toEpochMilli());
    assertThat(drift.hasCheckTime()).isTrue();
    assertThat(listed(request -> request)).contains(drift);
    assertThat(server.metrics())
        .contains("sandkeeper_engine_reconciled_total{engine=\"cloud\",outcome=\"drifted\"}")
        .contains("sandkeeper_engine_drift_seconds_total{direction=\"over\",engine=\"cloud\"}");
  }

  @Test
  void whereBothAgreeIsListedWhenAskedFor() {
    Sandbox sandbox = create("other");
    other.record(new SandboxId(sandbox.getSandboxId()), ran(0));
    admin.terminate(sandbox.getSandboxId());

    EngineDrift agreed = await(sandbox.getSandboxId());

    assertThat(agreed.getIsBeyondTolerance()).isFalse();
    assertThat(Durations.toMillis(agreed.getDrift())).isNegative();
    assertThat(listed(request -> request)).doesNotContain(agreed);
    assertThat(listed(request -> request.setEngine("cloud").setIncludeAgreed(true)))
        .doesNotContain(agreed);
    assertThat(listed(request -> request.setEngine("other").setIncludeAgreed(true)))
        .contains(agreed);
    assertThat(server.metrics())
        .contains("sandkeeper_engine_reconciled_total{engine=\"other\",outcome=\"agreed\"}")
        .contains("sandkeeper_engine_drift_seconds_total{direction=\"under\",engine=\"other\"}");
  }

  @Test
  void pagesOfOneQueryGoOnAndAreNoOthers() {
    for (int i = 0; i < 3; i++) {
      Sandbox sandbox = create("cloud");
      cloud.record(new SandboxId(sandbox.getSandboxId()), ran(500_000));
      admin.terminate(sandbox.getSandboxId());
      var _ = await(sandbox.getSandboxId());
    }
    List<EngineDrift> all = listed(request -> request.setEngine("cloud"));

    ListEngineDriftsResponse first = page(request -> request.setEngine("cloud").setPageSize(2));
    ListEngineDriftsResponse rest =
        page(request ->
            request.setEngine("cloud").setPageToken(first.getNextPageToken()).setPageSize(1000));

    assertThat(first.getEngineDriftsList()).isEqualTo(all.subList(0, 2));
    assertThat(rest.getEngineDriftsList()).isEqualTo(all.subList(2, all.size()));
    assertThat(rest.getNextPageToken()).isEmpty();
    Refusal.ofField(
        "page_token", () -> page(request -> request.setPageToken(first.getNextPageToken())));
  }

  @Test
  void theyAreForAdministratorsAloneAndByHttpToo() {
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () ->
            server
                .runner()
                .engines()
                .listEngineDrifts(ListEngineDriftsRequest.getDefaultInstance()));
    Refusal.ofField("engine", () -> page(request -> request.setEngine("No Name")));
    Sandbox sandbox = create("cloud");
    cloud.record(new SandboxId(sandbox.getSandboxId()), ran(500_000));
    admin.terminate(sandbox.getSandboxId());
    var _ = await(sandbox.getSandboxId());

    try (HttpCaller http = new HttpCaller(server)) {
      Answer answer = http.get("/v1/engine-drifts?engine=cloud&pageSize=1");
      assertThat(answer.status()).isEqualTo(200);
      assertThat(answer.at("/engineDrifts/0/sandboxId").asText()).isEqualTo(sandbox.getSandboxId());
      assertThat(answer.at("/engineDrifts/0/reportedDuration").asText()).isEqualTo("500s");
    }
  }

  private Sandbox create(String engine) {
    return EngineFixture.create(admin, template -> template.setEngine(engine));
  }

  private static EngineRecord ran(long millis) {
    return new EngineRecord(Duration.ofMillis(millis), START, START.plusMillis(millis));
  }

  private static long millis(CostRecord cost) {
    return Timestamps.toMillis(cost.getEndTime()) - Timestamps.toMillis(cost.getStartTime());
  }

  /** Waits until a sandbox has been compared. */
  private EngineDrift await(String sandboxId) {
    return Awaitility.await()
        .until(
            () ->
                listed(request -> request.setIncludeAgreed(true)).stream()
                    .filter(drift -> drift.getSandboxId().equals(sandboxId))
                    .toList(),
            found -> found.size() == 1)
        .getFirst();
  }

  private List<EngineDrift> listed(UnaryOperator<ListEngineDriftsRequest.Builder> request) {
    return page(builder -> request.apply(builder).setPageSize(1000)).getEngineDriftsList();
  }

  private ListEngineDriftsResponse page(UnaryOperator<ListEngineDriftsRequest.Builder> request) {
    return admin
        .engines()
        .listEngineDrifts(request.apply(ListEngineDriftsRequest.newBuilder()).build());
  }
}
