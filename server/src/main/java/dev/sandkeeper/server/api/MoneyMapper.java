package dev.sandkeeper.server.api;

import dev.sandkeeper.server.ledger.LimitPeriod;
import dev.sandkeeper.server.ledger.PriceBasis;
import dev.sandkeeper.server.ledger.Rates;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.SandboxUsage;
import java.math.BigDecimal;
import java.time.Instant;

/** Prices, limits, costs and usage on the wire. */
final class MoneyMapper {
  private MoneyMapper() {}

  static SandboxUsage toProto(dev.sandkeeper.server.ledger.SandboxUsage usage) {
    SandboxUsage.Builder proto =
        SandboxUsage.newBuilder()
            .setLifetime(Times.toProto(usage.lifetime()))
            .setExecutionCount(usage.executionCount())
            .setCostNanoUsd(usage.cost().value());
    usage.cpuMicros().ifPresent(proto::setCpuMicros);
    usage.memoryMibMillis().ifPresent(proto::setMemoryMibMillis);
    usage.peakMemoryBytes().ifPresent(proto::setPeakMemoryBytes);
    usage.meteredUntil().map(Times::toProto).ifPresent(proto::setMeteredUntilTime);
    return proto.build();
  }

  static Price toProto(dev.sandkeeper.server.ledger.Price price) {
    Price.Builder proto =
        Price.newBuilder()
            .setPriceId(price.priceId())
            .setTier(price.tier())
            .setBasis(toProto(price.basis()))
            .setUsdPerSecond(decimal(price.rates().usdPerSecond()))
            .setUsdPerCoreSecond(decimal(price.rates().usdPerCoreSecond()))
            .setUsdPerGibSecond(decimal(price.rates().usdPerGibSecond()));
    if (price.startTime().isAfter(Instant.EPOCH)) { // the epoch stands for since ever
      proto.setStartTime(Times.toProto(price.startTime()));
    }
    price.endTime().map(Times::toProto).ifPresent(proto::setEndTime);
    return proto.build();
  }

  static Rates rates(Price proto) {
    return new Rates(
        new BigDecimal(proto.getUsdPerSecond()),
        new BigDecimal(proto.getUsdPerCoreSecond()),
        new BigDecimal(proto.getUsdPerGibSecond()));
  }

  static PriceBasis fromProto(dev.sandkeeper.v1.PriceBasis basis) {
    return switch (basis) {
      case PRICE_BASIS_ALLOCATED -> PriceBasis.ALLOCATED;
      case PRICE_BASIS_MEASURED -> PriceBasis.MEASURED;
      case PRICE_BASIS_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("basis: " + basis); // refused by the contract's rules
    };
  }

  static Limit toProto(dev.sandkeeper.server.ledger.Limit limit) {
    return Limit.newBuilder()
        .setLimitId(limit.limitId())
        .setTenantId(limit.tenantId().value())
        .setPeriod(toProto(limit.period()))
        .setAmountNanoUsd(limit.amount().value())
        .build();
  }

  static LimitPeriod fromProto(dev.sandkeeper.v1.LimitPeriod period) {
    return switch (period) {
      case LIMIT_PERIOD_HOUR -> LimitPeriod.HOUR;
      case LIMIT_PERIOD_DAY -> LimitPeriod.DAY;
      case LIMIT_PERIOD_WEEK -> LimitPeriod.WEEK;
      case LIMIT_PERIOD_MONTH -> LimitPeriod.MONTH;
      case LIMIT_PERIOD_LIFETIME -> LimitPeriod.LIFETIME;
      case LIMIT_PERIOD_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("period: " + period); // refused by the rules
    };
  }

  static QuotaStatus toProto(dev.sandkeeper.server.ledger.QuotaStatus quota) {
    QuotaStatus.Builder proto =
        QuotaStatus.newBuilder()
            .setLimit(toProto(quota.limit()))
            .setSpentNanoUsd(quota.spent().value())
            .setReservedNanoUsd(quota.reserved().value())
            .setRemainingNanoUsd(quota.remaining().value());
    quota.periodStart().map(Times::toProto).ifPresent(proto::setPeriodStartTime);
    quota.resetTime().map(Times::toProto).ifPresent(proto::setResetTime);
    return proto.build();
  }

  static CostRecord toProto(dev.sandkeeper.server.ledger.CostRecord cost) {
    CostRecord.Builder proto =
        CostRecord.newBuilder()
            .setCostRecordId(cost.costRecordId())
            .setTenantId(cost.tenantId().value())
            .setSandboxId(cost.sandboxId().value())
            .setAttribution(Attributions.toProto(cost.attribution()))
            .setStartTime(Times.toProto(cost.fromTime()))
            .setEndTime(Times.toProto(cost.toTime()))
            .setPriceId(cost.priceId())
            .setTier(cost.tier())
            .setBasis(toProto(cost.basis()))
            .setEstimated(cost.estimated())
            .setShare(Times.toProto(cost.share()))
            .setAmountNanoUsd(cost.amount().value());
    cost.executionId().ifPresent(executionId -> proto.setExecutionId(executionId.value()));
    return proto.build();
  }

  private static dev.sandkeeper.v1.PriceBasis toProto(PriceBasis basis) {
    return switch (basis) {
      case ALLOCATED -> dev.sandkeeper.v1.PriceBasis.PRICE_BASIS_ALLOCATED;
      case MEASURED -> dev.sandkeeper.v1.PriceBasis.PRICE_BASIS_MEASURED;
    };
  }

  private static dev.sandkeeper.v1.LimitPeriod toProto(LimitPeriod period) {
    return switch (period) {
      case HOUR -> dev.sandkeeper.v1.LimitPeriod.LIMIT_PERIOD_HOUR;
      case DAY -> dev.sandkeeper.v1.LimitPeriod.LIMIT_PERIOD_DAY;
      case WEEK -> dev.sandkeeper.v1.LimitPeriod.LIMIT_PERIOD_WEEK;
      case MONTH -> dev.sandkeeper.v1.LimitPeriod.LIMIT_PERIOD_MONTH;
      case LIFETIME -> dev.sandkeeper.v1.LimitPeriod.LIMIT_PERIOD_LIFETIME;
    };
  }

  private static String decimal(BigDecimal value) {
    return value.signum() == 0 ? "0" : value.stripTrailingZeros().toPlainString();
  }
}
