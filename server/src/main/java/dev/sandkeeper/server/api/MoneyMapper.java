package dev.sandkeeper.server.api;

import dev.sandkeeper.server.ledger.PriceBasis;
import dev.sandkeeper.server.ledger.Rates;
import dev.sandkeeper.v1.CostKind;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.Spend;
import java.math.BigDecimal;
import java.time.Instant;

/** Prices, costs and usage on the wire. */
final class MoneyMapper {
  private MoneyMapper() {}

  static SandboxUsage toProto(dev.sandkeeper.server.ledger.SandboxUsage usage) {
    SandboxUsage.Builder proto =
        SandboxUsage.newBuilder()
            .setLifetime(Times.toProto(usage.lifetime()))
            .setPausedTime(Times.toProto(usage.paused()))
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
            .setUsdPerGibSecond(decimal(price.rates().usdPerGibSecond()))
            .setPausedUsdPerSecond(decimal(price.pausedRates().usdPerSecond()))
            .setPausedUsdPerCoreSecond(decimal(price.pausedRates().usdPerCoreSecond()))
            .setPausedUsdPerGibSecond(decimal(price.pausedRates().usdPerGibSecond()));
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

  static Rates pausedRates(Price proto) {
    Rates unsaid = rates(proto).ofPausedTime();
    return new Rates(
        decimal(proto.getPausedUsdPerSecond(), unsaid.usdPerSecond()),
        decimal(proto.getPausedUsdPerCoreSecond(), unsaid.usdPerCoreSecond()),
        decimal(proto.getPausedUsdPerGibSecond(), unsaid.usdPerGibSecond()));
  }

  static PriceBasis fromProto(dev.sandkeeper.v1.PriceBasis basis) {
    return switch (basis) {
      case PRICE_BASIS_ALLOCATED -> PriceBasis.ALLOCATED;
      case PRICE_BASIS_MEASURED -> PriceBasis.MEASURED;
      case PRICE_BASIS_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("basis: " + basis); // refused by the contract's rules
    };
  }

  static CostRecord toProto(dev.sandkeeper.server.ledger.CostRecord cost) {
    CostRecord.Builder proto =
        CostRecord.newBuilder()
            .setCostRecordId(cost.costRecordId())
            .setKind(CostKind.valueOf("COST_KIND_" + cost.kind()))
            .setSpend(Spend.valueOf("SPEND_" + cost.spend()))
            .setTenantId(cost.tenantId().value())
            .setAttribution(Attributions.toProto(cost.attribution()))
            .setStartTime(Times.toProto(cost.fromTime()))
            .setEndTime(Times.toProto(cost.toTime()))
            .setEstimated(cost.estimated())
            .setShare(Times.toProto(cost.share()))
            .setAmountNanoUsd(cost.amount().value())
            .setPaused(cost.paused());
    cost.sandboxId().ifPresent(sandboxId -> proto.setSandboxId(sandboxId.value()));
    cost.executionId().ifPresent(executionId -> proto.setExecutionId(executionId.value()));
    cost.priceId().ifPresent(proto::setPriceId);
    cost.tier().ifPresent(proto::setTier);
    cost.basis().map(MoneyMapper::toProto).ifPresent(proto::setBasis);
    cost.llm()
        .ifPresent(llm -> {
          proto.setHoldId(llm.holdId());
          llm.model().ifPresent(proto::setModel);
          llm.usage().map(LlmMapper::toProto).ifPresent(proto::setTokens);
        });
    cost.correctedId().ifPresent(proto::setCorrectedCostRecordId);
    cost.reason().ifPresent(proto::setReason);
    return proto.build();
  }

  private static dev.sandkeeper.v1.PriceBasis toProto(PriceBasis basis) {
    return switch (basis) {
      case ALLOCATED -> dev.sandkeeper.v1.PriceBasis.PRICE_BASIS_ALLOCATED;
      case MEASURED -> dev.sandkeeper.v1.PriceBasis.PRICE_BASIS_MEASURED;
    };
  }

  private static BigDecimal decimal(String given, BigDecimal unsaid) {
    return given.isEmpty() ? unsaid : new BigDecimal(given);
  }

  static String decimal(BigDecimal value) {
    return value.signum() == 0 ? "0" : value.stripTrailingZeros().toPlainString();
  }
}
