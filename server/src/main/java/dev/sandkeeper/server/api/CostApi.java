package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.ledger.CostQuery;
import dev.sandkeeper.server.ledger.CostRecord;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmReservation;
import dev.sandkeeper.server.ledger.LlmSpend;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListCostRecordsResponse;
import dev.sandkeeper.v1.RecordLlmUsageRequest;
import dev.sandkeeper.v1.RecordLlmUsageResponse;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.Optional;

/** CostService. */
final class CostApi extends CostServiceGrpc.CostServiceImplBase {
  private final Calls calls;
  private final CostRepository costs;
  private final LlmSpend llmSpend;

  CostApi(Calls calls, CostRepository costs, LlmSpend llmSpend) {
    this.calls = calls;
    this.costs = costs;
    this.llmSpend = llmSpend;
  }

  @Override
  public void listCostRecords(
      ListCostRecordsRequest request, StreamObserver<ListCostRecordsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          CostQuery costQuery =
              new CostQuery(
                  principal.tenantId(),
                  principal.agentId(),
                  Attributions.given(request.getSandboxId()).map(SandboxId::new),
                  Attributions.given(request.getConversationId()),
                  Optional.empty(),
                  Optional.empty(),
                  Optional.empty());
          Page<CostRecord> page =
              costs.list(
                  costQuery,
                  PageTokens.request(request.getPageSize(), request.getPageToken(), costQuery));
          return ListCostRecordsResponse.newBuilder()
              .addAllCostRecords(page.items().stream().map(MoneyMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, costQuery))
              .build();
        });
  }

  @Override
  public void recordLlmUsage(
      RecordLlmUsageRequest request, StreamObserver<RecordLlmUsageResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          LlmHold hold =
              llmSpend.record(
                  new LlmReservation(
                      principal.tenantId(),
                      RequestKeys.of(
                          request.getRequestId(), request.toBuilder().clearRequestId().build()),
                      principal.attribute(Attributions.fromProto(request.getAttribution())),
                      LlmMapper.fromProto(request.getCost()),
                      Duration.ZERO));
          return RecordLlmUsageResponse.newBuilder()
              .setHoldId(hold.holdId())
              .setAmountNanoUsd(hold.settled().orElse(NanoUsd.ZERO).value())
              .build();
        });
  }
}
