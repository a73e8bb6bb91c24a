package dev.sandkeeper.server.api;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.ledger.CostEstimate;
import dev.sandkeeper.server.ledger.ModelPrice;
import dev.sandkeeper.server.ledger.ModelPrices;
import dev.sandkeeper.server.ledger.Price;
import dev.sandkeeper.server.ledger.Prices;
import dev.sandkeeper.server.sandbox.CostEstimator;
import dev.sandkeeper.v1.CreateModelPriceRequest;
import dev.sandkeeper.v1.CreateModelPriceResponse;
import dev.sandkeeper.v1.CreatePriceRequest;
import dev.sandkeeper.v1.CreatePriceResponse;
import dev.sandkeeper.v1.EstimateCostRequest;
import dev.sandkeeper.v1.EstimateCostResponse;
import dev.sandkeeper.v1.GetModelPriceAtRequest;
import dev.sandkeeper.v1.GetModelPriceAtResponse;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.GetPriceAtResponse;
import dev.sandkeeper.v1.ListModelPricesRequest;
import dev.sandkeeper.v1.ListModelPricesResponse;
import dev.sandkeeper.v1.ListPricesRequest;
import dev.sandkeeper.v1.ListPricesResponse;
import dev.sandkeeper.v1.PricingServiceGrpc;
import io.grpc.stub.StreamObserver;
import java.time.Instant;
import java.util.Optional;

/** PricingService. */
final class PricingApi extends PricingServiceGrpc.PricingServiceImplBase {
  private final Calls calls;
  private final Transactions transactions;
  private final Prices prices;
  private final ModelPrices modelPrices;
  private final CostEstimator estimator;
  private final AuditLog auditLog;
  private final BillingClock clock;

  PricingApi(
      Calls calls,
      Transactions transactions,
      Prices prices,
      ModelPrices modelPrices,
      CostEstimator estimator,
      AuditLog auditLog,
      BillingClock clock) {
    this.calls = calls;
    this.transactions = transactions;
    this.prices = prices;
    this.modelPrices = modelPrices;
    this.estimator = estimator;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  @Override
  public void createPrice(
      CreatePriceRequest request, StreamObserver<CreatePriceResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          dev.sandkeeper.v1.Price asked = request.getPrice();
          Optional<Instant> start =
              asked.hasStartTime()
                  ? Optional.of(Times.fromProto(asked.getStartTime()))
                  : Optional.empty();
          Price price =
              transactions.call(transaction -> {
                Price created =
                    prices.create(
                        transaction,
                        asked.getTier(),
                        MoneyMapper.fromProto(asked.getBasis()),
                        MoneyMapper.rates(asked),
                        MoneyMapper.pausedRates(asked),
                        start,
                        clock.now());
                record(transaction, principal, principal.tenantId(), "created " + created);
                return created;
              });
          return CreatePriceResponse.newBuilder().setPrice(MoneyMapper.toProto(price)).build();
        });
  }

  @Override
  public void listPrices(ListPricesRequest request, StreamObserver<ListPricesResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            ListPricesResponse.newBuilder()
                .addAllPrices(
                    prices.list(Attributions.given(request.getTier())).stream()
                        .map(MoneyMapper::toProto)
                        .toList())
                .build());
  }

  @Override
  public void getPriceAt(GetPriceAtRequest request, StreamObserver<GetPriceAtResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          Instant time = request.hasTime() ? Times.fromProto(request.getTime()) : clock.now();
          return GetPriceAtResponse.newBuilder()
              .setPrice(MoneyMapper.toProto(prices.get(request.getTier(), time)))
              .build();
        });
  }

  @Override
  public void estimateCost(
      EstimateCostRequest request, StreamObserver<EstimateCostResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          CostEstimate estimate =
              estimator.estimate(
                  SandboxMapper.template(request.getTemplate()),
                  SandboxMapper.given(request.getResources().getCpuCores()),
                  SandboxMapper.given(request.getResources().getMemoryMib()),
                  Times.fromProto(request.hasTimeout(), request.getTimeout()));
          return EstimateCostResponse.newBuilder()
              .setTier(estimate.tier())
              .setCostNanoUsd(estimate.cost().value())
              .setHoldNanoUsd(estimate.hold().value())
              .build();
        });
  }

  @Override
  public void createModelPrice(
      CreateModelPriceRequest request, StreamObserver<CreateModelPriceResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          ModelPrice price =
              transactions.call(transaction -> {
                Instant now = clock.now();
                ModelPrice created =
                    modelPrices.create(
                        transaction, LlmMapper.fromProto(request.getModelPrice(), now), now);
                record(transaction, principal, principal.tenantId(), "created " + created);
                return created;
              });
          return CreateModelPriceResponse.newBuilder()
              .setModelPrice(LlmMapper.toProto(price))
              .build();
        });
  }

  @Override
  public void listModelPrices(
      ListModelPricesRequest request, StreamObserver<ListModelPricesResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            ListModelPricesResponse.newBuilder()
                .addAllModelPrices(
                    modelPrices.list(Attributions.given(request.getModel())).stream()
                        .map(LlmMapper::toProto)
                        .toList())
                .build());
  }

  @Override
  public void getModelPriceAt(
      GetModelPriceAtRequest request, StreamObserver<GetModelPriceAtResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          Instant time = request.hasTime() ? Times.fromProto(request.getTime()) : clock.now();
          return GetModelPriceAtResponse.newBuilder()
              .setModelPrice(LlmMapper.toProto(modelPrices.get(request.getModel(), time)))
              .build();
        });
  }

  private void record(
      Transaction transaction, Principal principal, TenantId tenantId, String detail) {
    auditLog.append(
        transaction,
        AuditEntry.of(tenantId, clock.now(), AuditOperation.PRICE_CHANGE)
            .by(principal)
            .withDetail(detail));
  }
}
