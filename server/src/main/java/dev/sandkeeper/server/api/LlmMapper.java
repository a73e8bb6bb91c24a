package dev.sandkeeper.server.api;

import com.google.protobuf.Duration;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.ledger.LlmCost;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmUsage;
import dev.sandkeeper.server.ledger.ModelPrice;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.v1.Hold;
import dev.sandkeeper.v1.HoldState;
import dev.sandkeeper.v1.LlmTokens;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.Optional;

/** What language models cost, on the wire. */
final class LlmMapper {
  private static final java.time.Duration TIME_TO_LIVE = java.time.Duration.ofMinutes(10);

  private LlmMapper() {}

  static LlmCost fromProto(dev.sandkeeper.v1.LlmCost proto) {
    if (!proto.hasTokens()) {
      return new LlmCost.Amount(new NanoUsd(proto.getAmountNanoUsd()), proto.getModel());
    }
    if (proto.getModel().isEmpty()) {
      throw SandkeeperException.invalidField("cost.model", "(expected: the model of the tokens)");
    }
    LlmTokens tokens = proto.getTokens();
    return new LlmCost.Tokens(
        new LlmUsage(
            proto.getModel(),
            tokens.getInputTokens(),
            tokens.getCachedInputTokens(),
            tokens.getOutputTokens()));
  }

  static LlmTokens toProto(LlmUsage usage) {
    return LlmTokens.newBuilder()
        .setInputTokens(usage.inputTokens())
        .setCachedInputTokens(usage.cachedInputTokens())
        .setOutputTokens(usage.outputTokens())
        .build();
  }

  static java.time.Duration timeToLive(boolean present, Duration asked) {
    return Times.fromProto(present, asked).orElse(TIME_TO_LIVE);
  }

  static Hold toProto(LlmHold hold) {
    return Hold.newBuilder()
        .setHoldId(hold.holdId())
        .setState(HoldState.valueOf("HOLD_STATE_" + hold.state()))
        .setAmountNanoUsd(hold.amount().value())
        .setSettledNanoUsd(hold.settled().orElse(NanoUsd.ZERO).value())
        .setExpireTime(Times.toProto(hold.untilTime()))
        .build();
  }

  static ModelPrice fromProto(dev.sandkeeper.v1.ModelPrice proto, Instant now) {
    return new ModelPrice(
        "",
        proto.getModel(),
        new BigDecimal(proto.getUsdPerMillionInputTokens()),
        new BigDecimal(proto.getUsdPerMillionCachedInputTokens()),
        new BigDecimal(proto.getUsdPerMillionOutputTokens()),
        proto.hasStartTime() ? Times.fromProto(proto.getStartTime()) : now,
        Optional.empty());
  }

  static dev.sandkeeper.v1.ModelPrice toProto(ModelPrice price) {
    dev.sandkeeper.v1.ModelPrice.Builder proto =
        dev.sandkeeper.v1.ModelPrice.newBuilder()
            .setModelPriceId(price.modelPriceId())
            .setModel(price.model())
            .setUsdPerMillionInputTokens(MoneyMapper.decimal(price.usdPerMillionInputTokens()))
            .setUsdPerMillionCachedInputTokens(
                MoneyMapper.decimal(price.usdPerMillionCachedInputTokens()))
            .setUsdPerMillionOutputTokens(MoneyMapper.decimal(price.usdPerMillionOutputTokens()))
            .setStartTime(Times.toProto(price.startTime()));
    price.endTime().map(Times::toProto).ifPresent(proto::setEndTime);
    return proto.build();
  }
}
