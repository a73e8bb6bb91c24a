package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CreateModelPriceRequest;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.Hold;
import dev.sandkeeper.v1.HoldState;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.LimitResource;
import dev.sandkeeper.v1.LimitScope;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.LlmCost;
import dev.sandkeeper.v1.LlmTokens;
import dev.sandkeeper.v1.ModelPrice;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.RecordLlmUsageRequest;
import dev.sandkeeper.v1.RecordLlmUsageResponse;
import dev.sandkeeper.v1.ReleaseRequest;
import dev.sandkeeper.v1.ReserveRequest;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SettleRequest;
import io.grpc.Status;
import java.util.List;
import java.util.UUID;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Limits of every scope, and money that language models cost, through the port. */
class QuotaServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private final Caller admin = server.admin();
  private final Caller caller = server.runner();

  @AfterEach
  void deleteLimits() {
    for (Limit limit :
        admin.quotas().listLimits(ListLimitsRequest.getDefaultInstance()).getLimitsList()) {
      admin
          .quotas()
          .deleteLimit(
              dev.sandkeeper.v1.DeleteLimitRequest.newBuilder()
                  .setLimitId(limit.getLimitId())
                  .build());
    }
  }

  @Test
  void aUsersLimitOnSandboxesAtOnceSaysSo() {
    Limit limit =
        limit(request ->
            request
                .setScope(LimitScope.LIMIT_SCOPE_USER)
                .setScopeId("ada")
                .setResource(LimitResource.LIMIT_RESOURCE_CONCURRENT_SANDBOXES)
                .setAmount(1));
    Attribution ada = Attribution.newBuilder().setUserId("ada").build();
    String first = caller.create(request -> request.setAttribution(ada)).getSandboxId();

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorReason.QUOTA_EXCEEDED,
            () -> caller.create(request -> request.setAttribution(ada)));
    assertThat(refusal.info().getMetadataMap())
        .containsEntry("limitId", limit.getLimitId())
        .containsEntry("scope", "USER")
        .containsEntry("scopeId", "ada")
        .containsEntry("resource", "CONCURRENT_SANDBOXES")
        .containsEntry("remaining", "0")
        .containsEntry("needed", "1");
    caller.create();
    QuotaStatus quota = quota(LimitScope.LIMIT_SCOPE_USER, "ada");
    assertThat(quota.getUsed()).isEqualTo(1);
    assertThat(quota.getRemaining()).isZero();

    caller.terminate(first);
    caller.create(request -> request.setAttribution(ada));
  }

  @Test
  void wrongLimitsNameTheirField() {
    Refusal.ofField("period", () -> limit(request -> request.setAmountNanoUsd(1)));
    Refusal.ofField("amount", () -> limit(request -> day(request).setAmount(1)));
    Refusal.ofField(
        "amount_nano_usd",
        () ->
            limit(request ->
                request
                    .setResource(LimitResource.LIMIT_RESOURCE_CONCURRENT_SANDBOXES)
                    .setAmountNanoUsd(1)));
    Refusal.ofField("zone", () -> limit(request -> day(request).setZone("Mars/Olympus")));
    Refusal.ofField(
        "scope_id", () -> limit(request -> day(request).setScope(LimitScope.LIMIT_SCOPE_USER)));
    Refusal.ofField("thresholds[0]", () -> limit(request -> day(request).addThresholds(101)));
    Refusal.ofField(
        "thresholds", () -> limit(request -> day(request).addThresholds(50).addThresholds(50)));
    limit(request -> day(request).setAmountNanoUsd(1).setZone("Europe/Berlin"));
    Refusal.of(
        Status.Code.ALREADY_EXISTS,
        ErrorReason.ALREADY_EXISTS,
        () -> limit(request -> day(request).setAmountNanoUsd(1)));
  }

  @Test
  void aModelsWorkIsReservedSettledAndListed() {
    admin
        .prices()
        .createModelPrice(
            CreateModelPriceRequest.newBuilder()
                .setModelPrice(
                    ModelPrice.newBuilder()
                        .setModel("vendor/model-1")
                        .setUsdPerMillionInputTokens("3")
                        .setUsdPerMillionCachedInputTokens("0.3")
                        .setUsdPerMillionOutputTokens("15"))
                .build());
    limit(request -> day(request).setAmountNanoUsd(20_000_000));
    ReserveRequest request =
        ReserveRequest.newBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .setAttribution(Attribution.newBuilder().setConversationId("talk"))
            .setCost(tokens(1000, 1000))
            .build();

    Hold hold = caller.quotas().reserve(request).getHold();
    assertThat(hold.getState()).isEqualTo(HoldState.HOLD_STATE_OPEN);
    assertThat(hold.getAmountNanoUsd()).isEqualTo(18_000_000);
    assertThat(caller.quotas().reserve(request).getHold()).isEqualTo(hold);
    Refusal.of(
        Status.Code.RESOURCE_EXHAUSTED,
        ErrorReason.QUOTA_EXCEEDED,
        () ->
            caller
                .quotas()
                .reserve(request.toBuilder().setRequestId(UUID.randomUUID().toString()).build()));

    Hold settled = settle(hold, tokens(1000, 100));
    assertThat(settled.getSettledNanoUsd()).isEqualTo(4_500_000);
    assertThat(settle(hold, tokens(1000, 100))).isEqualTo(settled);
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.HOLD_ENDED,
        () ->
            caller
                .quotas()
                .release(ReleaseRequest.newBuilder().setHoldId(hold.getHoldId()).build()));
    QuotaStatus quota = quota(LimitScope.LIMIT_SCOPE_TENANT, "");
    assertThat(quota.getSpentNanoUsd()).isEqualTo(4_500_000);
    assertThat(quota.getReservedNanoUsd()).isZero();
    List<CostRecord> records =
        server
            .reader()
            .costs()
            .listCostRecords(ListCostRecordsRequest.newBuilder().setConversationId("talk").build())
            .getCostRecordsList();
    assertThat(records).hasSize(1);
    assertThat(records.getFirst().getModel()).isEqualTo("vendor/model-1");
    assertThat(records.getFirst().getTokens().getOutputTokens()).isEqualTo(100);
    assertThat(records.getFirst().getAmountNanoUsd()).isEqualTo(4_500_000);
    assertThat(records.getFirst().getSandboxId()).isEmpty();
  }

  @Test
  void recordedUsageStopsSandboxes() {
    limit(request -> day(request).setAmountNanoUsd(10_000_000));
    RecordLlmUsageRequest request =
        RecordLlmUsageRequest.newBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .setCost(LlmCost.newBuilder().setModel("any").setAmountNanoUsd(10_000_001))
            .build();

    RecordLlmUsageResponse booked = caller.costs().recordLlmUsage(request);
    assertThat(caller.costs().recordLlmUsage(request)).isEqualTo(booked);

    assertThat(booked.getAmountNanoUsd()).isEqualTo(10_000_001);
    Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, () -> caller.create());
  }

  @Test
  void wrongSpendsNameTheirField() {
    Refusal.ofField("cost", () -> caller.quotas().reserve(ReserveRequest.getDefaultInstance()));
    Refusal.ofField(
        "cost.cost",
        () ->
            caller
                .quotas()
                .reserve(
                    ReserveRequest.newBuilder()
                        .setCost(LlmCost.newBuilder().setModel("m"))
                        .build()));
    Refusal.ofField(
        "cost.model",
        () ->
            caller
                .quotas()
                .reserve(
                    ReserveRequest.newBuilder()
                        .setCost(
                            LlmCost.newBuilder()
                                .setTokens(LlmTokens.newBuilder().setInputTokens(1)))
                        .build()));
    Refusal.ofField(
        "cost.tokens.output_tokens",
        () -> caller.quotas().reserve(ReserveRequest.newBuilder().setCost(tokens(1, -1)).build()));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.NO_PRICE_FOR_MODEL,
        () ->
            caller
                .quotas()
                .reserve(
                    ReserveRequest.newBuilder()
                        .setCost(tokens(1, 1).toBuilder().setModel("nameless"))
                        .build()));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.HOLD_NOT_FOUND,
        () -> settle(Hold.newBuilder().setHoldId("nothing").build(), tokens(1, 1)));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () ->
            server
                .reader()
                .quotas()
                .reserve(ReserveRequest.newBuilder().setCost(tokens(1, 1)).build()));
  }

  @Test
  void oneCallsItByHttpToo() {
    try (HttpCaller http = new HttpCaller(server)) {
      HttpCaller.Answer reserved =
          http.post("/v1/holds", "{\"cost\": {\"amountNanoUsd\": \"1000\"}}");
      assertThat(reserved.status()).isEqualTo(200);
      String hold = reserved.at("/hold/holdId").asText();
      HttpCaller.Answer settled =
          http.post("/v1/holds/" + hold + ":settle", "{\"cost\": {\"amountNanoUsd\": \"900\"}}");
      assertThat(settled.status()).isEqualTo(200);
      assertThat(settled.at("/hold/settledNanoUsd").asText()).isEqualTo("900");
      assertThat(http.post("/v1/holds/" + hold + ":release", "{}").status()).isEqualTo(400);
      assertThat(http.get("/v1/model-prices:at?model=nameless").status()).isEqualTo(404);
      HttpCaller.Answer used =
          http.post("/v1/llm-usage", "{\"cost\": {\"model\": \"m\", \"amountNanoUsd\": \"7\"}}");
      assertThat(used.at("/amountNanoUsd").asText()).isEqualTo("7");
    }
  }

  private static LlmCost tokens(long input, long output) {
    return LlmCost.newBuilder()
        .setModel("vendor/model-1")
        .setTokens(LlmTokens.newBuilder().setInputTokens(input).setOutputTokens(output))
        .build();
  }

  private Hold settle(Hold hold, LlmCost cost) {
    return caller
        .quotas()
        .settle(SettleRequest.newBuilder().setHoldId(hold.getHoldId()).setCost(cost).build())
        .getHold();
  }

  private Limit limit(UnaryOperator<SetLimitRequest.Builder> request) {
    return admin.quotas().setLimit(request.apply(SetLimitRequest.newBuilder()).build()).getLimit();
  }

  private static SetLimitRequest.Builder day(SetLimitRequest.Builder request) {
    return request.setPeriod(LimitPeriod.LIMIT_PERIOD_DAY);
  }

  private QuotaStatus quota(LimitScope scope, String scopeId) {
    return caller
        .quotas()
        .getQuota(GetQuotaRequest.newBuilder().setScope(scope).setScopeId(scopeId).build())
        .getQuotas(0);
  }
}
