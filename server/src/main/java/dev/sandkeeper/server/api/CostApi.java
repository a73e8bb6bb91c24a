package dev.sandkeeper.server.api;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.ledger.Adjustments;
import dev.sandkeeper.server.ledger.Correction;
import dev.sandkeeper.server.ledger.CostQuery;
import dev.sandkeeper.server.ledger.CostRecord;
import dev.sandkeeper.server.ledger.CostReportQuery;
import dev.sandkeeper.server.ledger.CostReportRow;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.Credit;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmReservation;
import dev.sandkeeper.server.ledger.LlmSpend;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.v1.CostServiceGrpc;
import dev.sandkeeper.v1.CreateCorrectionRequest;
import dev.sandkeeper.v1.CreateCorrectionResponse;
import dev.sandkeeper.v1.CreateCreditRequest;
import dev.sandkeeper.v1.CreateCreditResponse;
import dev.sandkeeper.v1.GetCostReportRequest;
import dev.sandkeeper.v1.GetCostReportResponse;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListCostRecordsResponse;
import dev.sandkeeper.v1.RecordLlmUsageRequest;
import dev.sandkeeper.v1.RecordLlmUsageResponse;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** CostService. */
final class CostApi extends CostServiceGrpc.CostServiceImplBase {
  private static final int MAX_ROWS = 10_000;

  private final Calls calls;
  private final CostRepository costs;
  private final LlmSpend llmSpend;
  private final Adjustments adjustments;
  private final Transactions transactions;
  private final AuditLog auditLog;
  private final BillingClock clock;

  CostApi(
      Calls calls,
      CostRepository costs,
      LlmSpend llmSpend,
      Adjustments adjustments,
      Transactions transactions,
      AuditLog auditLog,
      BillingClock clock) {
    this.calls = calls;
    this.costs = costs;
    this.llmSpend = llmSpend;
    this.adjustments = adjustments;
    this.transactions = transactions;
    this.auditLog = auditLog;
    this.clock = clock;
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
                  PageTokens.request(
                      request.getPageSize(), request.getPageToken(), "cost records", costQuery));
          return ListCostRecordsResponse.newBuilder()
              .addAllCostRecords(page.items().stream().map(MoneyMapper::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "cost records", costQuery))
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

  @Override
  public void getCostReport(
      GetCostReportRequest request, StreamObserver<GetCostReportResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal -> CostReportMapper.toProto(report(CostReportMapper.query(principal, request))));
  }

  private List<CostReportRow> report(CostReportQuery query) {
    List<CostReportRow> rows = costs.report(query, MAX_ROWS + 1);
    if (rows.size() > MAX_ROWS) {
      throw SandkeeperException.of(
              ErrorReason.REPORT_TOO_LARGE,
              "The report has more rows than one may have; ask for a shorter range, longer buckets or fewer groups.")
          .with("maxRows", MAX_ROWS);
    }
    return rows;
  }

  @Override
  public void createCorrection(
      CreateCorrectionRequest request, StreamObserver<CreateCorrectionResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          Correction correction =
              new Correction(
                  Tenants.asked(principal, request.getTenantId()),
                  RequestKeys.of(
                      request.getRequestId(), request.toBuilder().clearRequestId().build()),
                  request.getCostRecordId(),
                  new NanoUsd(request.getAmountNanoUsd()),
                  request.getReason());
          return CreateCorrectionResponse.newBuilder()
              .setCostRecord(
                  adjust(
                      principal,
                      correction.tenantId(),
                      "correction of cost record "
                          + correction.costRecordId()
                          + " by "
                          + correction.amount()
                          + ": "
                          + correction.reason(),
                      transaction -> adjustments.correct(transaction, correction, clock.now())))
              .build();
        });
  }

  @Override
  public void createCredit(
      CreateCreditRequest request, StreamObserver<CreateCreditResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          Credit credit =
              new Credit(
                  Tenants.asked(principal, request.getTenantId()),
                  RequestKeys.of(
                      request.getRequestId(), request.toBuilder().clearRequestId().build()),
                  Attributions.fromProto(request.getAttribution()),
                  CostReportMapper.fromProto(request.getSpend()),
                  new NanoUsd(request.getAmountNanoUsd()),
                  request.getReason());
          return CreateCreditResponse.newBuilder()
              .setCostRecord(
                  adjust(
                      principal,
                      credit.tenantId(),
                      "credit of " + credit.amount() + ": " + credit.reason(),
                      transaction -> adjustments.credit(transaction, credit, clock.now())))
              .build();
        });
  }

  private dev.sandkeeper.v1.CostRecord adjust(
      Principal principal,
      TenantId tenantId,
      String detail,
      Function<Transaction, Adjustments.Booked> booking) {
    String costRecordId =
        transactions.call(transaction -> {
          Adjustments.Booked booked = booking.apply(transaction);
          if (!booked.replayed()) {
            auditLog.append(
                transaction,
                AuditEntry.of(tenantId, clock.now(), AuditOperation.COST_ADJUSTMENT)
                    .by(principal)
                    .withDetail(detail));
          }
          return booked.costRecordId();
        });
    return costs
        .find(tenantId, costRecordId)
        .map(MoneyMapper::toProto)
        .orElseThrow(() -> Adjustments.noRecord(costRecordId));
  }
}
