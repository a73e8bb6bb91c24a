package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.LEDGER_SPEND;
import static dev.sandkeeper.jooq.tables.Hold.HOLD;

import dev.sandkeeper.jooq.tables.records.LedgerSpendRecord;
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
import org.jooq.Result;
import org.jspecify.annotations.Nullable;

/** Calls the ledger's functions for LLM spends; the rules are theirs. */
final class JooqLlmRepository implements LlmRepository {
  private final DSLContext context;

  JooqLlmRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public List<Answer> decide(Transaction transaction, List<Request> requests, Instant now) {
    List<LlmSettlement> endings = new ArrayList<>();
    List<LlmReservation> others = new ArrayList<>();
    List<Boolean> spent = new ArrayList<>();
    int[] places = new int[requests.size()];
    int ends = Math.toIntExact(requests.stream().filter(Request.End.class::isInstance).count());
    for (int i = 0; i < places.length; i++) {
      switch (requests.get(i)) {
        case Request.End end -> {
          places[endings.size()] = i;
          endings.add(end.settlement());
        }
        case Request.Reserve reserve -> {
          places[ends + others.size()] = i;
          others.add(reserve.reservation());
          spent.add(false);
        }
        case Request.Book book -> {
          places[ends + others.size()] = i;
          others.add(book.spent());
          spent.add(true);
        }
      }
    }
    List<Answer> answers = new ArrayList<>(Collections.nCopies(places.length, new Answer.Again()));
    call(transaction, endings, others, spent.toArray(Boolean[]::new), now)
        .forEach(row -> answers.set(places[row.getItem() - 1], answer(row)));
    return answers;
  }

  private static Result<LedgerSpendRecord> call(
      Transaction transaction,
      List<LlmSettlement> endings,
      List<LlmReservation> others,
      Boolean[] spent,
      Instant now) {
    List<Optional<LlmCost>> ended = endings.stream().map(LlmSettlement::cost).toList();
    List<Optional<LlmCost>> costs = others.stream().map(r -> Optional.of(r.cost())).toList();
    return JooqTransaction.contextOf(transaction)
        .selectFrom(
            LEDGER_SPEND(
                texts(endings, s -> s.tenantId().value()),
                texts(endings, s -> s.agentId().orElse(null)),
                endings.stream()
                    .map(s -> Columns.nullable(Columns.number(s.holdId())))
                    .toArray(Long[]::new),
                amounts(ended),
                texts(ended, JooqLlmRepository::model),
                tokens(ended, LlmUsage::inputTokens),
                tokens(ended, LlmUsage::cachedInputTokens),
                tokens(ended, LlmUsage::outputTokens),
                ended.stream().map(Optional::isEmpty).toArray(Boolean[]::new),
                texts(others, r -> r.tenantId().value()),
                texts(others, r -> r.attribution().organisationId().orElse(null)),
                texts(others, r -> r.attribution().userId().orElse(null)),
                texts(others, r -> r.attribution().conversationId().orElse(null)),
                texts(others, r -> r.attribution().path().orElse(null)),
                texts(others, r -> r.attribution().agentId().orElse(null)),
                texts(others, r -> r.attribution().taskId().orElse(null)),
                texts(others, r -> r.attribution().correlationId().orElse(null)),
                texts(others, r -> r.attribution().workflowId().orElse(null)),
                others.stream().map(r -> r.requestKey().requestId()).toArray(UUID[]::new),
                others.stream().map(r -> r.requestKey().contentHash()).toArray(byte[][]::new),
                amounts(costs),
                texts(costs, JooqLlmRepository::model),
                tokens(costs, LlmUsage::inputTokens),
                tokens(costs, LlmUsage::cachedInputTokens),
                tokens(costs, LlmUsage::outputTokens),
                others.stream().map(r -> r.timeToLive().toMillis()).toArray(Long[]::new),
                spent,
                now))
        .fetch();
  }

  @Override
  public List<Request> expired(Instant now, int max) {
    return context
        .select(HOLD.TENANT_ID, HOLD.HOLD_ID)
        .from(HOLD)
        .where(HOLD.STATE.eq("OPEN"), HOLD.KIND.eq("LLM"), HOLD.UNTIL_TIME.le(now))
        .orderBy(HOLD.HOLD_ID)
        .limit(max)
        .fetch(row ->
            new Request.End(
                new LlmSettlement(
                    new TenantId(row.value1()),
                    Optional.empty(),
                    row.value2().toString(),
                    Optional.empty())));
  }

  private static Answer answer(LedgerSpendRecord row) {
    return switch (row.getOutcome()) {
      case "GRANTED" -> new Answer.Granted(hold(row));
      case "REPLAYED" -> new Answer.Replayed(hold(row), row.getRequestHash());
      case "OTHER_KIND" -> new Answer.OtherKind();
      case "GONE" -> new Answer.Gone();
      case "DENIED" -> new Answer.Denied(Refusals.of(row));
      case "ENDED", "REPEATED" -> new Answer.Ended(hold(row));
      case "ENDED_BEFORE" -> new Answer.EndedBefore(hold(row), row.getEndReason());
      case "UNKNOWN" -> new Answer.Unknown();
      case "NO_PRICE" -> new Answer.NoPrice();
      default -> throw StoreErrors.unexpected("ledger_spend", row.getOutcome());
    };
  }

  private static LlmHold hold(LedgerSpendRecord row) {
    return new LlmHold(
        row.getHoldId().toString(),
        HoldState.valueOf(row.getState()),
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
