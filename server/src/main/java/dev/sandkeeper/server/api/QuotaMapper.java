package dev.sandkeeper.server.api;

import com.google.common.base.Enums;
import com.google.protobuf.ProtocolMessageEnum;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.LimitEnforcement;
import dev.sandkeeper.server.ledger.LimitPeriod;
import dev.sandkeeper.server.ledger.LimitQuery;
import dev.sandkeeper.server.ledger.LimitResource;
import dev.sandkeeper.server.ledger.LimitScope;
import dev.sandkeeper.server.ledger.LimitSpec;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.SetLimitRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Limits on the wire, where each enum's names are the domain's behind the enum's own prefix. */
final class QuotaMapper {
  private static final String SCOPE = "LIMIT_SCOPE_";
  private static final String RESOURCE = "LIMIT_RESOURCE_";
  private static final String PERIOD = "LIMIT_PERIOD_";
  private static final String ENFORCEMENT = "LIMIT_ENFORCEMENT_";

  private QuotaMapper() {}

  static LimitSpec fromProto(TenantId tenantId, SetLimitRequest request) {
    LimitResource resource =
        domain(LimitResource.class, RESOURCE, request.getResource())
            .orElse(LimitResource.ALL_SPEND);
    Optional<LimitPeriod> period = domain(LimitPeriod.class, PERIOD, request.getPeriod());
    List<FieldViolation> violations = new ArrayList<>();
    if (period.isEmpty() && !resource.isConcurrent()) {
      violations.add(new FieldViolation("period", "(expected: the period of " + resource + ")"));
    }
    if (resource.isMoney() && request.getAmount() != 0) {
      violations.add(
          new FieldViolation(
              "amount", request.getAmount() + " (expected: amount_nano_usd for " + resource + ")"));
    }
    if (!resource.isMoney() && request.getAmountNanoUsd() != 0) {
      violations.add(
          new FieldViolation(
              "amount_nano_usd",
              request.getAmountNanoUsd() + " (expected: amount for " + resource + ")"));
    }
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
    return new LimitSpec(
        tenantId,
        domain(LimitScope.class, SCOPE, request.getScope()).orElse(LimitScope.TENANT),
        request.getScopeId(),
        resource,
        period.orElse(LimitPeriod.LIFETIME),
        request.getZone().isEmpty() ? LimitSpec.UTC : request.getZone(),
        domain(LimitEnforcement.class, ENFORCEMENT, request.getEnforcement())
            .orElse(LimitEnforcement.HARD),
        resource.isMoney() ? request.getAmountNanoUsd() : request.getAmount(),
        request.getThresholdsList());
  }

  static LimitQuery query(TenantId tenantId, dev.sandkeeper.v1.LimitScope scope, String scopeId) {
    return new LimitQuery(
        tenantId, domain(LimitScope.class, SCOPE, scope), Attributions.given(scopeId));
  }

  static Limit toProto(dev.sandkeeper.server.ledger.Limit limit) {
    LimitSpec spec = limit.spec();
    Limit.Builder proto =
        Limit.newBuilder()
            .setLimitId(limit.limitId())
            .setTenantId(spec.tenantId().value())
            .setScope(dev.sandkeeper.v1.LimitScope.valueOf(SCOPE + spec.scope()))
            .setScopeId(spec.scopeId())
            .setResource(dev.sandkeeper.v1.LimitResource.valueOf(RESOURCE + spec.resource()))
            .setPeriod(dev.sandkeeper.v1.LimitPeriod.valueOf(PERIOD + spec.period()))
            .setZone(spec.zone())
            .setEnforcement(
                dev.sandkeeper.v1.LimitEnforcement.valueOf(ENFORCEMENT + spec.enforcement()))
            .addAllThresholds(spec.thresholds());
    return spec.resource().isMoney()
        ? proto.setAmountNanoUsd(spec.amount()).build()
        : proto.setAmount(spec.amount()).build();
  }

  static QuotaStatus toProto(dev.sandkeeper.server.ledger.QuotaStatus quota) {
    QuotaStatus.Builder proto = QuotaStatus.newBuilder().setLimit(toProto(quota.limit()));
    if (quota.limit().spec().resource().isMoney()) {
      proto
          .setSpentNanoUsd(quota.spent())
          .setReservedNanoUsd(quota.reserved())
          .setRemainingNanoUsd(quota.remaining());
    } else {
      proto.setUsed(quota.spent() + quota.reserved()).setRemaining(quota.remaining());
    }
    quota.periodStart().map(Times::toProto).ifPresent(proto::setPeriodStartTime);
    quota.resetTime().map(Times::toProto).ifPresent(proto::setResetTime);
    return proto.build();
  }

  /** Returns the domain's word for a value; empty when it is unspecified. */
  private static <E extends Enum<E>> Optional<E> domain(
      Class<E> type, String prefix, ProtocolMessageEnum value) {
    return Enums.getIfPresent(type, value.getValueDescriptor().getName().substring(prefix.length()))
        .toJavaUtil();
  }
}
