package dev.sandkeeper.server.api;

import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.engine.EngineHealth;
import dev.sandkeeper.server.ledger.Reconciliation;
import dev.sandkeeper.server.ledger.ReconciliationRepository;
import dev.sandkeeper.server.sandbox.EngineStatus;
import dev.sandkeeper.server.sandbox.EngineStatuses;
import dev.sandkeeper.v1.BreakerState;
import dev.sandkeeper.v1.Engine;
import dev.sandkeeper.v1.EngineDrift;
import dev.sandkeeper.v1.EngineServiceGrpc;
import dev.sandkeeper.v1.ListEngineDriftsRequest;
import dev.sandkeeper.v1.ListEngineDriftsResponse;
import dev.sandkeeper.v1.ListEnginesRequest;
import dev.sandkeeper.v1.ListEnginesResponse;
import io.grpc.stub.StreamObserver;

/** EngineService. */
final class EngineApi extends EngineServiceGrpc.EngineServiceImplBase {
  private final Calls calls;
  private final EngineStatuses engines;
  private final ReconciliationRepository reconciliations;

  EngineApi(Calls calls, EngineStatuses engines, ReconciliationRepository reconciliations) {
    this.calls = calls;
    this.engines = engines;
    this.reconciliations = reconciliations;
  }

  @Override
  public void listEngines(
      ListEnginesRequest request, StreamObserver<ListEnginesResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            ListEnginesResponse.newBuilder()
                .addAllEngines(engines.list().stream().map(EngineApi::toProto).toList())
                .build());
  }

  @Override
  public void listEngineDrifts(
      ListEngineDriftsRequest request, StreamObserver<ListEngineDriftsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        _ -> {
          Object[] query = {request.getEngine(), request.getIncludeAgreed()};
          Page<Reconciliation> page =
              reconciliations.list(
                  Attributions.given(request.getEngine()),
                  !request.getIncludeAgreed(),
                  PageTokens.request(
                      request.getPageSize(), request.getPageToken(), "engine drifts", query));
          return ListEngineDriftsResponse.newBuilder()
              .addAllEngineDrifts(page.items().stream().map(EngineApi::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "engine drifts", query))
              .build();
        });
  }

  private static EngineDrift toProto(Reconciliation reconciliation) {
    EngineDrift.Builder drift =
        EngineDrift.newBuilder()
            .setSandboxId(reconciliation.sandboxId().value())
            .setTenantId(reconciliation.tenantId().value())
            .setEngine(reconciliation.engine())
            .setBilledDuration(Times.toProto(reconciliation.billed()))
            .setTolerance(Times.toProto(reconciliation.tolerance()))
            .setIsBeyondTolerance(reconciliation.drifted())
            .setCheckTime(Times.toProto(reconciliation.checkTime()));
    reconciliation
        .reported()
        .ifPresent(reported ->
            drift
                .setReportedDuration(Times.toProto(reported.ran()))
                .setReportedStartTime(Times.toProto(reported.startTime()))
                .setReportedEndTime(Times.toProto(reported.endTime())));
    reconciliation
        .drift()
        .map(difference -> Durations.fromMillis(difference.toMillis())) // may be negative
        .ifPresent(drift::setDrift);
    reconciliation.remoteId().ifPresent(drift::setRemoteId);
    return drift.build();
  }

  private static Engine toProto(EngineStatus status) {
    EngineHealth health = status.health();
    Engine.Builder engine =
        Engine.newBuilder()
            .setName(status.name())
            .setIsDefault(status.isDefault())
            .setHealthy(health.healthy())
            .setCheckError(health.checkError().orElse(""))
            .setBreakerState(toProto(health.breaker()))
            .setBreakerStateTime(Times.toProto(health.breakerSince()))
            .setLiveSandboxes(status.liveSandboxes())
            .setStartingSandboxes(health.starting())
            .setCapacity(status.capacity().orElse(0))
            .setFailovers(status.failovers());
    health.checkTime().map(Times::toProto).ifPresent(engine::setCheckTime);
    return engine.build();
  }

  private static BreakerState toProto(EngineHealth.Breaker breaker) {
    return switch (breaker) {
      case CLOSED -> BreakerState.BREAKER_STATE_CLOSED;
      case OPEN -> BreakerState.BREAKER_STATE_OPEN;
      case HALF_OPEN -> BreakerState.BREAKER_STATE_HALF_OPEN;
    };
  }
}
