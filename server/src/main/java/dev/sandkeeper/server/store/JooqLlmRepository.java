package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.LEDGER_RESERVE;
import static dev.sandkeeper.jooq.Tables.LEDGER_SETTLE_SPEND;
import static dev.sandkeeper.jooq.tables.Hold.HOLD;

import dev.sandkeeper.jooq.tables.records.LedgerReserveRecord;
import dev.sandkeeper.jooq.tables.records.LedgerSettleSpendRecord;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.HoldState;
import dev.sandkeeper.server.ledger.LlmCost;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmRepository;
import dev.sandkeeper.server.ledger.LlmReservation;
import dev.sandkeeper.server.ledger.LlmSettlement;
import dev.sandkeeper.server.ledger.LlmUsage;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.function.Function;
import java.util.function.ToLongFunction;
import org.jooq.DSLContext;
import org.jspecify.annotations.Nullable;

/** Calls the ledger's functions for LLM spends; the rules are theirs. */
final class JooqLlmRepository implements LlmRepository {
  private final DSLContext context;

  JooqLlmRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public List<Answer> reserve(
      Transaction transaction, List<LlmReservation> reservations, Instant now) {
    List<Optional<LlmCost>> costs = reservations.stream().map(r -> Optional.of(r.cost())).toList();
    List<Answer> answers =
        new ArrayList<>(Collections.nCopies(reservations.size(), new Answer.Again()));
    JooqTransaction.contextOf(transaction)
        .selectFrom(
            LEDGER_RESERVE(
                texts(reservations, r -> r.tenantId().value()),
                texts(reservations, r -> r.attribution().organisationId().orElse(null)),
                texts(reservations, r -> r.attribution().userId().orElse(null)),
                texts(reservations, r -> r.attribution().conversationId().orElse(null)),
                texts(reservations, r -> r.attribution().path().orElse(null)),
                texts(reservations, r -> r.attribution().agentId().orElse(null)),
                texts(reservations, r -> r.attribution().taskId().orElse(null)),
                texts(reservations, r -> r.attribution().correlationId().orElse(null)),
                texts(reservations, r -> r.attribution().workflowId().orElse(null)),
                reservations.stream().map(r -> r.requestKey().requestId()).toArray(UUID[]::new),
                reservations.stream().map(r -> r.requestKey().contentHash()).toArray(byte[][]::new),
                amounts(costs),
                texts(costs, JooqLlmRepository::model),
                tokens(costs, LlmUsage::inputTokens),
                tokens(costs, LlmUsage::cachedInputTokens),
                tokens(costs, LlmUsage::outputTokens),
                reservations.stream().map(r -> r.timeToLive().toMillis()).toArray(Long[]::new),
                now))
        .forEach(row -> answers.set(row.getItem() - 1, answer(row)));
    return answers;
  }

  @Override
  public List<Ending> settle(
      Transaction transaction, List<LlmSettlement> settlements, Instant now) {
    List<Optional<LlmCost>> costs = settlements.stream().map(LlmSettlement::cost).toList();
    List<Ending> endings =
        new ArrayList<>(Collections.nCopies(settlements.size(), new Ending.Unknown()));
    JooqTransaction.contextOf(transaction)
        .selectFrom(
            LEDGER_SETTLE_SPEND(
                texts(settlements, s -> s.tenantId().value()),
                texts(settlements, s -> s.agentId().orElse(null)),
                settlements.stream()
                    .map(s -> Columns.nullable(Columns.number(s.holdId())))
                    .toArray(Long[]::new),
                amounts(costs),
                texts(costs, JooqLlmRepository::model),
                tokens(costs, LlmUsage::inputTokens),
                tokens(costs, LlmUsage::cachedInputTokens),
                tokens(costs, LlmUsage::outputTokens),
                costs.stream().map(Optional::isEmpty).toArray(Boolean[]::new),
                now))
        .forEach(row -> {
          int item = row.getItem() - 1;
          endings.set(item, ending(settlements.get(item).holdId(), row));
        });
    return endings;
  }

  @Override
  public List<LlmSettlement> expired(Instant now, int max) {
    return context
        .select(HOLD.TENANT_ID, HOLD.HOLD_ID)
        .from(HOLD)
        .where(HOLD.STATE.eq("OPEN"), HOLD.KIND.eq("LLM"), HOLD.UNTIL_TIME.le(now))
        .orderBy(HOLD.HOLD_ID)
        .limit(max)
        .fetch(row ->
            new LlmSettlement(
                new TenantId(row.value1()),
                Optional.empty(),
                row.value2().toString(),
                Optional.empty()));
  }

  private static Answer answer(LedgerReserveRecord row) {
    return switch (row.getOutcome()) {
      case "GRANTED" -> new Answer.Granted(hold(row));
      case "REPLAYED" -> new Answer.Replayed(hold(row), row.getRequestHash());
      case "OTHER_KIND" -> new Answer.OtherKind();
      case "GONE" -> new Answer.Gone();
      case "NO_PRICE" -> new Answer.NoPrice();
      case "DENIED" -> new Answer.Denied(Refusals.of(row));
      default -> throw new IllegalStateException("ledger_reserve answered " + row.getOutcome());
    };
  }

  private static LlmHold hold(LedgerReserveRecord row) {
    return new LlmHold(
        row.getHoldId().toString(),
        HoldState.valueOf(row.getState()),
        new NanoUsd(row.getAmountNanoUsd()),
        Optional.ofNullable(row.getSettledNanoUsd()).map(NanoUsd::new),
        row.getUntilTime());
  }

  private static Ending ending(String holdId, LedgerSettleSpendRecord row) {
    return switch (row.getOutcome()) {
      case "ENDED", "REPEATED" -> new Ending.Ended(hold(holdId, row));
      case "ENDED_BEFORE" -> new Ending.EndedBefore(hold(holdId, row), row.getEndReason());
      case "UNKNOWN" -> new Ending.Unknown();
      case "NO_PRICE" -> new Ending.NoPrice();
      default ->
          throw new IllegalStateException("ledger_settle_spend answered " + row.getOutcome());
    };
  }

  private static LlmHold hold(String holdId, LedgerSettleSpendRecord row) {
    return new LlmHold(
        holdId,
        row.getEndReason().equals("SETTLED") ? HoldState.SETTLED : HoldState.RELEASED,
        new NanoUsd(row.getAmountNanoUsd()),
        Optional.ofNullable(row.getSettledNanoUsd()).map(NanoUsd::new),
        row.getUntilTime());
  }

  private static <T> String[] texts(List<T> items, Function<T, @Nullable String> text) {
    return items.stream().map(text).toArray(String[]::new);
  }

  private static Long[] amounts(List<Optional<LlmCost>> costs) {
    return costs.stream()
        .map(cost ->
            cost.orElse(null) instanceof LlmCost.Amount known ? known.amount().value() : null)
        .toArray(Long[]::new);
  }

  private static Long[] tokens(List<Optional<LlmCost>> costs, ToLongFunction<LlmUsage> count) {
    return costs.stream()
        .map(cost ->
            cost.orElse(null) instanceof LlmCost.Tokens tokens
                ? count.applyAsLong(tokens.usage())
                : null)
        .toArray(Long[]::new);
  }

  private static @Nullable String model(Optional<LlmCost> cost) {
    return switch (cost.orElse(null)) {
      case null -> null;
      case LlmCost.Amount known -> known.model().isEmpty() ? null : known.model();
      case LlmCost.Tokens tokens -> tokens.usage().model();
    };
  }
}
