package dev.sandkeeper.server;

import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.LimitResource;
import dev.sandkeeper.v1.LimitScope;
import dev.sandkeeper.v1.LlmCost;
import dev.sandkeeper.v1.ReserveRequest;
import dev.sandkeeper.v1.SetLimitRequest;

/** What the races over two servers are about: one user's limit, and what is charged to it. */
final class TwoServersCalls {
  /** What each reservation holds, in nano-USD. */
  static final long AMOUNT = 1000;

  private TwoServersCalls() {}

  static Attribution user(String id) {
    return Attribution.newBuilder().setUserId(id).build();
  }

  static void limit(Caller admin, Attribution user, LimitResource resource, long amount) {
    SetLimitRequest.Builder request =
        SetLimitRequest.newBuilder()
            .setScope(LimitScope.LIMIT_SCOPE_USER)
            .setScopeId(user.getUserId())
            .setResource(resource);
    if (resource == LimitResource.LIMIT_RESOURCE_LLM_SPEND) {
      request.setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME).setAmountNanoUsd(amount);
    } else {
      request.setAmount(amount);
    }
    var _ = admin.quotas().setLimit(request.build());
  }

  static void reserve(Caller caller, Attribution user) {
    var _ =
        caller
            .quotas()
            .reserve(
                ReserveRequest.newBuilder()
                    .setAttribution(user)
                    .setCost(LlmCost.newBuilder().setAmountNanoUsd(AMOUNT))
                    .build());
  }
}
