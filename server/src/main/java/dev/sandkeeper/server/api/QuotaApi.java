package dev.sandkeeper.server.api;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.ledger.Limit;
import dev.sandkeeper.server.ledger.LimitQuery;
import dev.sandkeeper.server.ledger.LimitSpec;
import dev.sandkeeper.server.ledger.Limits;
import dev.sandkeeper.server.ledger.LlmCost;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmReservation;
import dev.sandkeeper.server.ledger.LlmSettlement;
import dev.sandkeeper.server.ledger.LlmSpend;
import dev.sandkeeper.server.ledger.QuotaStatus;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.DeleteLimitResponse;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetQuotaResponse;
import dev.sandkeeper.v1.Hold;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.ListLimitsResponse;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.ReleaseRequest;
import dev.sandkeeper.v1.ReleaseResponse;
import dev.sandkeeper.v1.ReserveRequest;
import dev.sandkeeper.v1.ReserveResponse;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SetLimitResponse;
import dev.sandkeeper.v1.SettleRequest;
import dev.sandkeeper.v1.SettleResponse;
import io.grpc.stub.StreamObserver;
import java.util.Optional;

/** QuotaService. */
final class QuotaApi extends QuotaServiceGrpc.QuotaServiceImplBase {
  private final Calls calls;
  private final Transactions transactions;
  private final Limits limits;
  private final LlmSpend llmSpend;
  private final AuditLog auditLog;
  private final BillingClock clock;

  QuotaApi(
      Calls calls,
      Transactions transactions,
      Limits limits,
      LlmSpend llmSpend,
      AuditLog auditLog,
      BillingClock clock) {
    this.calls = calls;
    this.transactions = transactions;
    this.limits = limits;
    this.llmSpend = llmSpend;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  @Override
  public void setLimit(SetLimitRequest request, StreamObserver<SetLimitResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          TenantId tenantId = Tenants.asked(principal, request.getTenantId());
          LimitSpec spec = QuotaMapper.fromProto(tenantId, request);
          Limit limit =
              transactions.call(transaction -> {
                Limit set = limits.set(transaction, spec, clock.now());
                record(transaction, principal, tenantId, "set " + set);
                return set;
              });
          return SetLimitResponse.newBuilder().setLimit(QuotaMapper.toProto(limit)).build();
        });
  }

  @Override
  public void listLimits(ListLimitsRequest request, StreamObserver<ListLimitsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          LimitQuery query =
              QuotaMapper.query(
                  Tenants.asked(principal, request.getTenantId()),
                  request.getScope(),
                  request.getScopeId());
          Page<Limit> page =
              limits.list(
                  query,
                  PageTokens.request(
                      request.getPageSize(), request.getPageToken(), "limits", query));
          return ListLimitsResponse.newBuilder()
              .addAllLimits(page.items().stream().map(QuotaMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "limits", query))
              .build();
        });
  }

  @Override
  public void deleteLimit(
      DeleteLimitRequest request, StreamObserver<DeleteLimitResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          Limit limit = limits.get(request.getLimitId());
          transactions.run(transaction -> {
            limits.delete(transaction, limit.limitId());
            record(transaction, principal, limit.spec().tenantId(), "deleted " + limit);
          });
          return DeleteLimitResponse.getDefaultInstance();
        });
  }

  @Override
  public void getQuota(GetQuotaRequest request, StreamObserver<GetQuotaResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> {
          LimitQuery query =
              QuotaMapper.query(
                  Tenants.asked(principal, request.getTenantId()),
                  request.getScope(),
                  request.getScopeId());
          Page<QuotaStatus> page =
              limits.quota(
                  query,
                  PageTokens.request(request.getPageSize(), request.getPageToken(), "quota", query),
                  clock.now());
          return GetQuotaResponse.newBuilder()
              .addAllQuotas(page.items().stream().map(QuotaMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "quota", query))
              .build();
        });
  }

  @Override
  public void reserve(ReserveRequest request, StreamObserver<ReserveResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal -> {
          LlmHold hold =
              llmSpend.reserve(
                  new LlmReservation(
                      principal.tenantId(),
                      RequestKeys.of(
                          request.getRequestId(), request.toBuilder().clearRequestId().build()),
                      principal.attribute(Attributions.fromProto(request.getAttribution())),
                      LlmMapper.fromProto(request.getCost()),
                      LlmMapper.timeToLive(request.hasTimeToLive(), request.getTimeToLive())));
          return ReserveResponse.newBuilder().setHold(LlmMapper.toProto(hold)).build();
        });
  }

  @Override
  public void settle(SettleRequest request, StreamObserver<SettleResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            SettleResponse.newBuilder()
                .setHold(
                    end(
                        principal,
                        request.getHoldId(),
                        Optional.of(LlmMapper.fromProto(request.getCost()))))
                .build());
  }

  @Override
  public void release(ReleaseRequest request, StreamObserver<ReleaseResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.RUN,
        principal ->
            ReleaseResponse.newBuilder()
                .setHold(end(principal, request.getHoldId(), Optional.empty()))
                .build());
  }

  private Hold end(Principal principal, String holdId, Optional<LlmCost> cost) {
    return LlmMapper.toProto(
        llmSpend.end(new LlmSettlement(principal.tenantId(), principal.agentId(), holdId, cost)));
  }

  private void record(
      Transaction transaction, Principal principal, TenantId tenantId, String detail) {
    auditLog.append(
        transaction,
        AuditEntry.of(tenantId, clock.now(), AuditOperation.QUOTA_CHANGE)
            .by(principal)
            .withDetail(detail));
  }
}
