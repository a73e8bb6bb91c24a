package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class LlmSpendTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final int CALLERS = 16;

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();
  private final ModelPrices prices =
      new ModelPrices(LedgerRepositories.modelPrices(books.transactions));
  private Instant now = NOON;
  private final List<String> denied = new ArrayList<>();
  private final LlmSpend spend =
      new LlmSpend(
          books.transactions,
          LedgerRepositories.llm(books.transactions),
          () -> now,
          _ -> {},
          (payer, refusal) -> denied.add(payer.value() + " " + refusal.limitId()));

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void oneLimitCoversSandboxesAndModels() {
    Limit limit = books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    books.run(books.wish(tenant), NOON);
    long sandbox = books.quota(tenant, NOON).reserved();

    LlmHold hold = spend.reserve(amount(900_000_000));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(sandbox + 900_000_000);
    assertThat(
            books.admit(
                books.wish(tenant, "standard", 8, 8192).withTimeout(Duration.ofDays(1)), NOON))
        .isInstanceOf(Admission.Granted.class);
    refused(ErrorReason.QUOTA_EXCEEDED, () -> spend.reserve(amount(100_000_000)));
    assertThat(denied).containsExactly(tenant.value() + " " + limit.limitId());

    LlmHold settled = spend.end(settlement(hold, 5_000_000));
    assertThat(settled.state()).isEqualTo(HoldState.SETTLED);
    assertThat(settled.settled()).contains(new NanoUsd(5_000_000));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(5_000_000);
  }

  @Test
  void tokensCostWhatTheModelsPriceSaysAtTheReservation() {
    price("big-model", "3", "0.3", "15", NOON);
    price("big-model", "6", "0.6", "30", NOON.plusSeconds(60));
    LlmHold hold = spend.reserve(tokens("big-model", 1_000_000, 0, 100_000));
    assertThat(hold.amount()).isEqualTo(new NanoUsd(4_500_000_000L));

    now = NOON.plusSeconds(90);
    LlmHold settled =
        spend.end(
            new LlmSettlement(
                tenant,
                Optional.empty(),
                hold.holdId(),
                Optional.of(new LlmCost.Tokens(new LlmUsage("big-model", 1001, 7, 333)))));

    // 1001 * 3 + 7 * 0.3 + 333 * 15 = 8000.1 USD per million tokens; half a nano-USD goes to even.
    assertThat(settled.settled()).contains(new NanoUsd(8_000_100));
    CostRecord record = records().getFirst();
    assertThat(record.amount()).isEqualTo(new NanoUsd(8_000_100));
    assertThat(record.fromTime()).isEqualTo(NOON);
    assertThat(record.sandboxId()).isEmpty();
    assertThat(record.llm())
        .contains(
            new LlmUse(
                hold.holdId(),
                Optional.of("big-model"),
                Optional.of(new LlmUsage("big-model", 1001, 7, 333))));
    assertThat(record.attribution().userId()).contains("user");
  }

  @Test
  void modelWithoutAPriceIsRefusedAndNothingChanges() {
    refused(ErrorReason.NO_PRICE_FOR_MODEL, () -> spend.reserve(tokens("nameless", 1, 0, 0)));
    refused(ErrorReason.NO_PRICE_FOR_MODEL, () -> spend.record(tokens("nameless", 1, 0, 0)));
    LlmHold hold = spend.reserve(amount(10));
    refused(
        ErrorReason.NO_PRICE_FOR_MODEL,
        () ->
            spend.end(
                new LlmSettlement(
                    tenant,
                    Optional.empty(),
                    hold.holdId(),
                    Optional.of(new LlmCost.Tokens(new LlmUsage("nameless", 1, 0, 0))))));

    assertThat(records()).isEmpty();
    assertThat(spend.end(settlement(hold, 10)).state()).isEqualTo(HoldState.SETTLED);
  }

  @Test
  void sameRequestReservesOnceAndOtherContentIsRefused() {
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    LlmReservation reservation = amount(60);

    LlmHold first = spend.reserve(reservation);
    assertThat(spend.reserve(reservation)).isEqualTo(first);
    LlmHold settled = spend.end(settlement(first, 50));
    assertThat(spend.reserve(reservation)).isEqualTo(settled);

    refused(
        ErrorReason.REQUEST_ID_REUSED,
        () ->
            spend.reserve(
                reservation(
                    new RequestKey(reservation.requestKey().requestId(), hash(2)),
                    new LlmCost.Amount(new NanoUsd(1), ""))));
    refused(
        ErrorReason.REQUEST_ID_REUSED,
        () -> {
          Books.Wish wish = books.wish(tenant);
          books.admit(wish, NOON);
          spend.reserve(
              reservation(
                  new RequestKey(wish.requestId(), hash(1)),
                  new LlmCost.Amount(new NanoUsd(1), "")));
        });
  }

  @Test
  void sandboxUnderASpendsRequestIdIsAnotherKind() {
    LlmReservation reservation = amount(60);
    spend.reserve(reservation);

    assertThat(
            books.admit(
                books.wish(tenant).withRequestId(reservation.requestKey().requestId()), NOON))
        .isInstanceOf(Admission.OtherKind.class);
  }

  @Test
  void holdEndsOnce() {
    LlmHold hold = spend.reserve(amount(60));
    LlmHold settled = spend.end(settlement(hold, 50));

    assertThat(spend.end(settlement(hold, 50))).isEqualTo(settled);
    refused(ErrorReason.HOLD_ENDED, () -> spend.end(settlement(hold, 51)));
    refused(ErrorReason.HOLD_ENDED, () -> spend.end(release(hold)));

    LlmHold other = spend.reserve(amount(60));
    LlmHold released = spend.end(release(other));
    assertThat(released.state()).isEqualTo(HoldState.RELEASED);
    assertThat(spend.end(release(other))).isEqualTo(released);
    refused(ErrorReason.HOLD_ENDED, () -> spend.end(settlement(other, 0)));
    assertThat(records()).hasSize(1);
  }

  @Test
  void moreThanHeldIsBookedAndPastTheLimitRecorded() {
    books.limit(tenant, LimitPeriod.DAY, 100, NOON);
    LlmHold hold = spend.reserve(amount(60));

    assertThat(spend.end(settlement(hold, 130)).settled()).contains(new NanoUsd(130));

    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.spent()).isEqualTo(130);
    assertThat(quota.reserved()).isZero();
    assertThat(overruns()).isEqualTo(30);
    refused(ErrorReason.QUOTA_EXCEEDED, () -> spend.reserve(amount(1)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"1234567890", "-1", "nothing", "", "9223372036854775808"})
  void unknownHoldIsNotFound(String holdId) {
    refused(
        ErrorReason.HOLD_NOT_FOUND,
        () ->
            spend.end(
                new LlmSettlement(
                    tenant,
                    Optional.empty(),
                    holdId,
                    Optional.of(new LlmCost.Amount(new NanoUsd(1), "")))));
  }

  @Test
  void othersHoldIsNotFound() {
    LlmHold hold = spend.reserve(amount(60));
    Optional<LlmCost> cost = Optional.of(new LlmCost.Amount(new NanoUsd(1), ""));

    refused(
        ErrorReason.HOLD_NOT_FOUND,
        () -> spend.end(new LlmSettlement(books.tenant(), Optional.empty(), hold.holdId(), cost)));
    refused(
        ErrorReason.HOLD_NOT_FOUND,
        () -> spend.end(new LlmSettlement(tenant, Optional.of("stranger"), hold.holdId(), cost)));
    assertThat(
            spend.end(new LlmSettlement(tenant, Optional.of("bot"), hold.holdId(), cost)).state())
        .isEqualTo(HoldState.SETTLED);
  }

  @Test
  void whatIsNotSettledInTimeIsGivenBack() {
    books.limit(tenant, LimitPeriod.DAY, 100, NOON);
    LlmHold hold = spend.reserve(amount(100));
    now = NOON.plusSeconds(599);
    spend.releaseExpired();
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(100);

    now = NOON.plusSeconds(600);
    spend.releaseExpired();

    assertThat(books.quota(tenant, NOON).reserved()).isZero();
    assertThatThrownBy(() -> spend.end(settlement(hold, 50)))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> {
              assertThat(e.reason()).isEqualTo(ErrorReason.HOLD_ENDED);
              assertThat(e.context()).containsEntry("endReason", "EXPIRED");
            });
  }

  @Test
  void lateSettlementBelongsToThePeriodOfItsReservation() {
    Instant midnight = Instant.parse("2026-03-11T00:00:00Z");
    books.limit(tenant, LimitPeriod.DAY, 100, NOON);
    now = midnight.minusSeconds(1);
    LlmHold hold = spend.reserve(amount(60));

    now = midnight.plusSeconds(1);
    spend.end(settlement(hold, 50));

    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(50);
    assertThat(books.quota(tenant, midnight).spent()).isZero();
  }

  @Test
  void limitThatComesMeanwhileTakesOverTheHold() {
    LlmHold hold = spend.reserve(amount(60));

    books.limit(tenant, LimitPeriod.DAY, 100, NOON);
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(60);

    spend.end(settlement(hold, 50));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(50);
  }

  @Test
  void recordedUsageIsBookedPastTheLimitAndOnce() {
    books.limit(tenant, LimitPeriod.DAY, 100, NOON);
    LlmReservation spent = amount(150);

    LlmHold first = spend.record(spent);
    assertThat(spend.record(spent)).isEqualTo(first);

    assertThat(first.settled()).contains(new NanoUsd(150));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(150);
    assertThat(overruns()).isEqualTo(50);
    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Denied.class);
  }

  @Test
  void limitOfSandboxesLeavesModelsAlone() {
    books.limit(
        new LimitSpec(
            tenant,
            LimitScope.TENANT,
            "",
            LimitResource.SANDBOX_SPEND,
            LimitPeriod.DAY,
            "UTC",
            LimitEnforcement.HARD,
            0,
            List.of()),
        NOON);

    spend.end(settlement(spend.reserve(amount(60)), 60));

    assertThat(books.quota(tenant, NOON).spent()).isZero();
    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Denied.class);
  }

  @Test
  void oneOfNReservationsFindsNoPlace() throws Exception {
    for (int round = 0; round < 20; round++) {
      TenantId crowded = books.tenant();
      books.limit(crowded, LimitPeriod.DAY, (CALLERS - 1) * 100L, NOON);
      books.limit(
          new LimitSpec(
              crowded,
              LimitScope.USER,
              "user",
              LimitResource.LLM_SPEND,
              LimitPeriod.MONTH,
              "UTC",
              LimitEnforcement.HARD,
              1_000_000,
              List.of()),
          NOON);

      Race race =
          Race.run(
              database,
              crowded,
              CALLERS,
              _ -> {
                try {
                  return spend.reserve(
                      new LlmReservation(
                          crowded,
                          new RequestKey(UUID.randomUUID(), hash(1)),
                          somebody(),
                          new LlmCost.Amount(new NanoUsd(100), ""),
                          Duration.ofMinutes(10)));
                } catch (SandkeeperException e) {
                  return e.reason();
                }
              });

      assertThat(race.answers()).filteredOn(ErrorReason.QUOTA_EXCEEDED::equals).hasSize(1);
      assertThat(race.mostUsed()).isLessThanOrEqualTo((CALLERS - 1) * 100L);
    }
  }

  @Test
  void smallOneInABatchGetsWhatALargeOneCouldNotUse() {
    books.limit(tenant, LimitPeriod.DAY, 100, NOON);

    List<LlmRepository.Answer> answers =
        books.transactions.call(tx ->
            LedgerRepositories.llm(books.transactions)
                .decide(tx, reserve(amount(70), amount(50), amount(30), amount(1)), NOON));

    assertThat(answers)
        .extracting(answer -> answer.getClass().getSimpleName())
        .containsExactly("Granted", "Denied", "Granted", "Denied");
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(100);
  }

  @Test
  void equalRequestsInOneBatchAreOne() {
    LlmReservation reservation = amount(70);

    List<LlmRepository.Answer> answers =
        books.transactions.call(tx ->
            LedgerRepositories.llm(books.transactions)
                .decide(tx, reserve(reservation, amount(1), reservation), NOON));

    assertThat(answers)
        .extracting(answer -> answer.getClass().getSimpleName())
        .containsExactly("Granted", "Granted", "Replayed");
  }

  @Test
  void pricesOfModelsNeverChangeOverlapOrBeginInThePast() {
    price("book-model", "1", "1", "1", NOON);
    price("book-model", "2", "1", "1", NOON.plusSeconds(60));

    assertThat(prices.list(Optional.of("book-model")))
        .extracting(ModelPrice::endTime)
        .containsExactly(Optional.of(NOON.plusSeconds(60)), Optional.empty());
    assertThat(prices.get("book-model", NOON.plusSeconds(59)).usdPerMillionInputTokens())
        .isEqualByComparingTo("1");
    refused(ErrorReason.PRICE_NOT_FOUND, () -> prices.get("book-model", NOON.minusMillis(1)));
    refused(
        ErrorReason.PRICE_START_REFUSED,
        () -> price("book-model", "2", "1", "1", NOON.minusSeconds(1)));
    refused(
        ErrorReason.ALREADY_EXISTS, () -> price("book-model", "2", "1", "1", NOON.plusSeconds(60)));
    refused(ErrorReason.INVALID_FIELD, () -> price("book-model", "-1", "1", "100001", NOON));
    assertThatThrownBy(
            () -> database.ownerContext().execute("update model_price_version set model = 'x'"))
        .hasMessageContaining("a price version never changes");
  }

  private void price(String model, String input, String cached, String output, Instant start) {
    books.transactions.run(tx ->
        prices.create(
            tx,
            new ModelPrice(
                "",
                model,
                new BigDecimal(input),
                new BigDecimal(cached),
                new BigDecimal(output),
                start,
                Optional.empty()),
            NOON));
  }

  private static List<LlmRepository.Request> reserve(LlmReservation... reservations) {
    return Stream.of(reservations)
        .<LlmRepository.Request>map(LlmRepository.Request.Reserve::new)
        .toList();
  }

  private LlmReservation amount(long nanoUsd) {
    return reservation(
        new RequestKey(UUID.randomUUID(), hash(1)), new LlmCost.Amount(new NanoUsd(nanoUsd), ""));
  }

  private LlmReservation tokens(String model, long input, long cached, long output) {
    return reservation(
        new RequestKey(UUID.randomUUID(), hash(1)),
        new LlmCost.Tokens(new LlmUsage(model, input, cached, output)));
  }

  private LlmReservation reservation(RequestKey key, LlmCost cost) {
    return new LlmReservation(tenant, key, somebody(), cost, Duration.ofMinutes(10));
  }

  private LlmSettlement settlement(LlmHold hold, long nanoUsd) {
    return new LlmSettlement(
        tenant,
        Optional.empty(),
        hold.holdId(),
        Optional.of(new LlmCost.Amount(new NanoUsd(nanoUsd), "")));
  }

  private LlmSettlement release(LlmHold hold) {
    return new LlmSettlement(tenant, Optional.empty(), hold.holdId(), Optional.empty());
  }

  private List<CostRecord> records() {
    return books.costs.list(CostQuery.of(tenant), new Page.Request(1000, Optional.empty())).items();
  }

  private long overruns() {
    return database
        .context()
        .resultQuery(
            "select coalesce(sum(o.amount), 0)::bigint from quota_overrun o join quota_limit"
                + " using (limit_id) where tenant_id = ?",
            tenant.value())
        .fetchSingle()
        .get(0, Long.class);
  }

  private static Attribution somebody() {
    return Books.attribution("org", "user", "talk", "bot");
  }

  private static byte[] hash(int content) {
    byte[] hash = new byte[32];
    Arrays.fill(hash, (byte) content);
    return hash;
  }

  private static void refused(ErrorReason reason, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            SandkeeperException.class, e -> assertThat(e.reason()).isEqualTo(reason));
  }
}
