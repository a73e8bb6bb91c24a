package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.Books.Wish;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.UUID;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

// Goal: whatever happens in whatever order, the invariants hold after every step, and a sandbox
// costs what a second, simpler computation says. Method: seeded random steps on the real database
// with a clock that runs over hours', days' and months' ends; a failure names its seed. Prices and
// the clock go on from seed to seed, so one that fails is repeated by putting it behind the fixed
// ones.
final class LedgerStatefulTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Logger logger = LoggerFactory.getLogger(LedgerStatefulTest.class);
  private static final int STEPS = 200;
  private static final int MOST_AT_ONCE = 6;
  private static final String[] ZONES = {"UTC", "Asia/Kathmandu", "America/St_Johns"};
  private static final List<List<Integer>> THRESHOLDS =
      List.of(List.of(), List.of(50), List.of(1, 80, 100));
  private static final List<String> TIERS = List.of("standard", "high-memory", "gpu");
  private static final Map<Step, Integer> DONE_BY_ALL = new EnumMap<>(Step.class);

  /** Continues over the seeds, as prices are never taken back. */
  private static Instant now = Instant.parse("2028-02-28T22:58:13.007Z");

  private final Books books = new Books(database);
  private final List<LlmSettlement> reserved = new ArrayList<>();
  private final Map<Step, Integer> done = new EnumMap<>(Step.class);

  private enum Step {
    CLOCK,
    ADMIT,
    DENIED,
    START,
    RELEASE,
    EXECUTE,
    FINISH,
    EXTEND,
    CUT,
    PAUSE,
    RESUME,
    RESUME_DENIED,
    SETTLE,
    RESERVE,
    SPEND,
    LIMIT,
    DELETE_LIMIT,
    PRICE
  }

  /** Where a sandbox began to run or to be paused. */
  private record Turn(Instant time, boolean paused) {}

  /** A sandbox as the model has it. */
  private static final class Model {
    final Wish wish;
    final List<Turn> turns = new ArrayList<>();
    Instant paidUntil = Instant.MIN;
    long cpuMicros;
    long memoryMibMillis;
    final List<ExecutionId> executions = new ArrayList<>();

    Model(Wish wish) {
      this.wish = wish;
    }

    SandboxId id() {
      return wish.sandboxId();
    }

    boolean paused() {
      return turns.getLast().paused();
    }

    void turn(boolean paused) {
      if (turns.isEmpty() || paused() != paused) {
        turns.add(new Turn(now.truncatedTo(ChronoUnit.MILLIS), paused));
      }
    }
  }

  static List<Long> seeds() {
    return List.of(1L, 2L, 3L, 8199986870785259065L, new Random().nextLong());
  }

  @ParameterizedTest
  @MethodSource("seeds")
  void invariantsHoldAfterEveryStep(long seed) {
    Random random = new Random(seed);
    List<TenantId> tenants = List.of(books.tenant(), books.tenant());
    List<Model> pending = new ArrayList<>();
    List<Model> running = new ArrayList<>();

    for (int i = 0; i < STEPS; i++) {
      Step step = logged(seed, i, () -> step(random, tenants, pending, running));
      done.merge(step, 1, Integer::sum);
      assertThat(books.ledger.checkInvariants())
          .as("seed %s, step %s: %s at %s", seed, i, step, now)
          .isEmpty();
    }
    for (Model model : List.copyOf(running)) {
      settle(random, model, running);
    }

    assertThat(books.ledger.checkInvariants()).as("seed %s, at the end", seed).isEmpty();
    logger.info("Seed {} did {}", seed, done);
    done.forEach((step, times) -> DONE_BY_ALL.merge(step, times, Integer::sum));
  }

  // What did nothing proves nothing; one seed alone may well never extend a lease.
  @AfterAll
  static void everyKindOfStepWasTaken() {
    assertThat(DONE_BY_ALL)
        .containsKeys(
            Step.ADMIT,
            Step.EXTEND,
            Step.SETTLE,
            Step.RESERVE,
            Step.SPEND,
            Step.LIMIT,
            Step.CLOCK,
            Step.EXECUTE,
            Step.PAUSE,
            Step.RESUME);
  }

  /** Runs a step; what it throws names the seed and the step. */
  private static Step logged(long seed, int number, Supplier<Step> step) {
    try {
      return step.get();
    } catch (RuntimeException | AssertionError e) {
      throw new AssertionError("seed " + seed + ", step " + number + " at " + now, e);
    }
  }

  private Step step(
      Random random, List<TenantId> tenants, List<Model> pending, List<Model> running) {
    TenantId tenant = tenants.get(random.nextInt(tenants.size()));
    int dice = random.nextInt(100);
    if (dice < 25) {
      return moveClock(random, running);
    } else if (dice < 40 && running.size() < MOST_AT_ONCE) {
      return admit(random, tenant, pending);
    } else if (dice < 52 && !pending.isEmpty()) {
      return startOrRelease(random, pending, running);
    } else if (dice < 55) {
      return reserveOrSpend(random, tenant);
    } else if (dice < 58) {
      return limit(random, tenant);
    } else if (dice < 61) {
      return price(random);
    } else if (running.isEmpty()) {
      return admit(random, tenant, pending);
    }
    Model model = running.get(random.nextInt(running.size()));
    if (dice < 70 && !model.paused()) {
      model.executions.add(books.execute(model.wish.tenant(), model.id(), now));
      return Step.EXECUTE;
    } else if (dice < 77 && !model.executions.isEmpty()) {
      books.finish(
          model.executions.remove(random.nextInt(model.executions.size())), now.plusNanos(1000));
      return Step.FINISH;
    } else if (dice < 85) {
      return extend(random, model);
    } else if (dice < 89) {
      return pause(random, model);
    } else if (dice < 93) {
      return resume(random, model);
    }
    settle(random, model, running);
    return Step.SETTLE;
  }

  private Step moveClock(Random random, List<Model> running) {
    switch (random.nextInt(12)) {
      case 0 ->
          now =
              now.plusMillis(7)
                  .truncatedTo(ChronoUnit.HOURS)
                  .plus(Duration.ofMinutes(60))
                  .minusMillis(7);
      case 1 -> now = now.plus(Duration.ofMinutes(59));
      case 2 -> {
        // Nobody runs for days unpaid.
        for (Model model : List.copyOf(running)) {
          settle(random, model, running);
        }
        now =
            now.plusSeconds(31)
                .atZone(ZoneOffset.UTC)
                .truncatedTo(ChronoUnit.DAYS)
                .withDayOfMonth(1)
                .plusMonths(1)
                .minusSeconds(31)
                .toInstant();
      }
      default -> now = now.plusMillis(random.nextInt(31_000));
    }
    // The database keeps microseconds, bills milliseconds.
    now = now.plusNanos(random.nextInt(1000) * 1000L);
    return Step.CLOCK;
  }

  private Step admit(Random random, TenantId tenant, List<Model> pending) {
    String tier = TIERS.get(random.nextInt(TIERS.size()));
    Wish wish =
        books
            .wish(tenant, tier, 1 + random.nextInt(8), 512 + random.nextInt(7680))
            .withAttribution(
                Books.attribution(
                    scopeId(random), scopeId(random), scopeId(random), scopeId(random)));
    List<QuotaStatus> before = books.quotas(tenant, now);
    switch (books.admit(wish, now)) {
      case Admission.Granted granted -> {
        Model model = new Model(wish);
        model.paidUntil = granted.paidUntil();
        pending.add(model);
        return Step.ADMIT;
      }
      case Admission.Denied denied -> {
        assertThat(books.quotas(tenant, now)).isEqualTo(before);
        assertThat(denied.refusal().needed()).isGreaterThan(denied.refusal().remaining());
        return Step.DENIED;
      }
      case Admission.NoPrice _ -> {
        assertThat(books.quotas(tenant, now)).isEqualTo(before);
        return Step.DENIED;
      }
      case Admission.Full full -> throw new AssertionError(full);
      case Admission.Replayed replayed -> throw new AssertionError(replayed);
      case Admission.OtherKind other -> throw new AssertionError(other);
      case Admission.Gone gone -> throw new AssertionError(gone);
    }
  }

  /**
   * Sets money aside for a model's work, or ends what was, by more or less than that, or nothing.
   */
  private Step reserveOrSpend(Random random, TenantId tenant) {
    LlmSpend spend = books.spend(() -> now);
    LlmCost cost = new LlmCost.Amount(new NanoUsd(random.nextInt(20_000_000)), "");
    if (reserved.isEmpty() || random.nextBoolean()) {
      List<QuotaStatus> before = books.quotas(tenant, now);
      try {
        LlmHold hold =
            spend.reserve(
                new LlmReservation(
                    tenant,
                    new RequestKey(new UUID(random.nextLong(), random.nextLong()), new byte[32]),
                    Books.attribution(
                        scopeId(random), scopeId(random), scopeId(random), scopeId(random)),
                    cost,
                    Duration.ofSeconds(1 + random.nextInt(7200))));
        reserved.add(new LlmSettlement(tenant, Optional.empty(), hold.holdId(), Optional.of(cost)));
      } catch (SandkeeperException e) {
        assertThat(e.reason()).isEqualTo(ErrorReason.QUOTA_EXCEEDED);
        assertThat(books.quotas(tenant, now)).isEqualTo(before);
      }
      return Step.RESERVE;
    }
    LlmSettlement other = reserved.remove(random.nextInt(reserved.size()));
    Optional<LlmCost> spent = random.nextInt(4) == 0 ? Optional.empty() : Optional.of(cost);
    spend.releaseExpired();
    try {
      spend.end(new LlmSettlement(other.tenantId(), Optional.empty(), other.holdId(), spent));
    } catch (SandkeeperException e) {
      assertThat(e.reason()).isEqualTo(ErrorReason.HOLD_ENDED); // it had expired
    }
    return Step.SPEND;
  }

  private Step startOrRelease(Random random, List<Model> pending, List<Model> running) {
    Model model = pending.remove(random.nextInt(pending.size()));
    if (random.nextInt(4) == 0 || !now.isBefore(model.paidUntil)) {
      books.settle(model.id(), now);
      return Step.RELEASE;
    }
    books.start(model.wish, now);
    model.turn(false);
    running.add(model);
    return Step.START;
  }

  private Step extend(Random random, Model model) {
    Extension extension = books.extend(model.id(), usage(random, model), now);
    switch (extension) {
      case Extension.Renewed renewed -> {
        assertThat(renewed.paidUntil()).isAfterOrEqualTo(model.paidUntil);
        model.paidUntil = renewed.paidUntil();
        return Step.EXTEND;
      }
      case Extension.Shortened shortened -> {
        assertThat(shortened.paidUntil()).isAfter(model.paidUntil);
        model.paidUntil = shortened.paidUntil();
        return Step.CUT;
      }
      case Extension.Refused refused -> {
        assertThat(refused.paidUntil()).isEqualTo(model.paidUntil);
        return Step.CUT;
      }
      case Extension.Full full -> throw new AssertionError(full);
      case Extension.Fenced fenced -> throw new AssertionError(fenced);
    }
  }

  private Step pause(Random random, Model model) {
    switch (books.pause(model.id(), usage(random, model), now)) {
      case Extension.Renewed renewed -> model.paidUntil = renewed.paidUntil();
      case Extension.Shortened shortened -> model.paidUntil = shortened.paidUntil();
      case Extension.Refused refused -> assertThat(refused.paidUntil()).isEqualTo(model.paidUntil);
      case Extension.Full full -> throw new AssertionError(full);
      case Extension.Fenced fenced -> throw new AssertionError(fenced);
    }
    model.turn(true);
    return Step.PAUSE;
  }

  private Step resume(Random random, Model model) {
    switch (books.resume(model.id(), usage(random, model), now)) {
      case Extension.Renewed renewed -> model.paidUntil = renewed.paidUntil();
      case Extension.Shortened shortened -> {
        assertThat(model.paused()).isFalse();
        model.paidUntil = shortened.paidUntil();
      }
      case Extension.Refused refused -> {
        assertThat(refused.paidUntil()).isEqualTo(model.paidUntil);
        return Step.RESUME_DENIED;
      }
      case Extension.Full full -> throw new AssertionError(full);
      case Extension.Fenced fenced -> throw new AssertionError(fenced);
    }
    model.turn(false);
    return Step.RESUME;
  }

  private void settle(Random random, Model model, List<Model> running) {
    boolean seen = random.nextInt(3) > 0;
    Optional<UsageReading> usage = seen ? Optional.of(usage(random, model)) : Optional.empty();
    Settlement settlement = books.settle(model.id(), usage, now);
    running.remove(model);
    assertThat(settlement.outcome()).isEqualTo(Settlement.Outcome.SETTLED);
    if (model.wish.tier().equals("standard")) {
      assertThat(settlement.cost().value()).isEqualTo(expectedCost(model, settlement.lifetime()));
    }
  }

  /** What the allocation costs at the prices of its time, rounded once. */
  private long expectedCost(Model model, Duration lifetime) {
    BigDecimal cost = BigDecimal.ZERO;
    for (int i = 0; i < model.turns.size(); i++) {
      Turn turn = model.turns.get(i);
      boolean last = i == model.turns.size() - 1;
      Instant end =
          last ? model.turns.getFirst().time().plus(lifetime) : model.turns.get(i + 1).time();
      cost = cost.add(cost(model, turn, end));
    }
    return cost.movePointRight(9).setScale(0, RoundingMode.HALF_EVEN).longValueExact();
  }

  private BigDecimal cost(Model model, Turn turn, Instant to) {
    BigDecimal cost = BigDecimal.ZERO;
    for (Price price : books.prices.list(Optional.of("standard"))) {
      Instant start = price.startTime().isAfter(turn.time()) ? price.startTime() : turn.time();
      Instant end = price.endTime().filter(to::isAfter).orElse(to);
      if (start.isBefore(end)) {
        Rates rates = turn.paused() ? price.pausedRates() : price.rates();
        BigDecimal perSecond =
            rates
                .usdPerSecond()
                .add(rates.usdPerCoreSecond().multiply(BigDecimal.valueOf(model.wish.cpuCores())))
                .add(
                    rates
                        .usdPerGibSecond()
                        .multiply(BigDecimal.valueOf(model.wish.memoryMib()))
                        .multiply(new BigDecimal("0.0009765625")));
        cost =
            cost.add(
                perSecond.multiply(BigDecimal.valueOf(Duration.between(start, end).toMillis(), 3)));
      }
    }
    return cost;
  }

  private static UsageReading usage(Random random, Model model) {
    if (random.nextInt(5) == 0) {
      return UsageReading.NOTHING;
    }
    // Sometimes backwards, sometimes more than there was time for.
    model.cpuMicros = Math.max(0, model.cpuMicros + random.nextInt(100_000_000) - 10_000_000);
    model.memoryMibMillis =
        Math.max(0, model.memoryMibMillis + random.nextInt(100_000_000) - 10_000_000);
    return new UsageReading(
        random.nextInt(8) == 0 ? OptionalLong.empty() : OptionalLong.of(model.cpuMicros),
        OptionalLong.of(model.memoryMibMillis),
        OptionalLong.of(1 + random.nextInt(1000)));
  }

  private Step limit(Random random, TenantId tenant) {
    List<Limit> limits = books.limits(tenant);
    if (!limits.isEmpty() && random.nextInt(4) == 0) {
      Limit limit = limits.get(random.nextInt(limits.size()));
      books.transactions.run(tx -> books.limits.delete(tx, limit.limitId()));
      return Step.DELETE_LIMIT;
    }
    LimitSpec spec = spec(random, tenant);
    try {
      books.limit(spec, now);
    } catch (SandkeeperException e) {
      // The one there is has another zone.
      assertThat(e.reason()).isEqualTo(ErrorReason.ALREADY_EXISTS);
    }
    return Step.LIMIT;
  }

  private static LimitSpec spec(Random random, TenantId tenant) {
    LimitScope scope = pick(random, LimitScope.values());
    LimitResource resource = pick(random, LimitResource.values());
    LimitPeriod period = LimitPeriod.LIFETIME;
    if (!resource.isConcurrent()) {
      do {
        period = pick(random, LimitPeriod.values());
      } while (period == LimitPeriod.MINUTE && resource != LimitResource.SANDBOX_CREATES);
    }
    long amount =
        resource.isMoney()
            ? pick(random, 0L, 30_000_000L, 100_000_000L, 1_000_000_000L, 1_000_000_000_000L)
            : pick(random, 0L, 3L, 10L, 20_000L);
    return new LimitSpec(
        tenant,
        scope,
        scope == LimitScope.TENANT ? "" : pick(random, "a", "b"),
        resource,
        period,
        pick(random, ZONES),
        random.nextInt(4) == 0 ? LimitEnforcement.SOFT : LimitEnforcement.HARD,
        amount,
        resource.isConcurrent() ? List.of() : THRESHOLDS.get(random.nextInt(THRESHOLDS.size())));
  }

  private static @Nullable String scopeId(Random random) {
    return pick(random, "a", "b", "c", null);
  }

  @SafeVarargs
  private static <T extends @Nullable Object> T pick(Random random, T... all) {
    return all[random.nextInt(all.length)];
  }

  private Step price(Random random) {
    String tier = TIERS.get(random.nextInt(TIERS.size()));
    // The model recomputes the standard tier, which stays billed by allocation.
    PriceBasis basis =
        tier.equals("standard") || random.nextBoolean()
            ? PriceBasis.ALLOCATED
            : PriceBasis.MEASURED;
    Instant start = now.plus(Books.SETTINGS.priceLead()).plusMillis(1 + random.nextInt(60_000));
    try {
      Rates rates = new Rates(rate(random), rate(random), rate(random));
      books.price(tier, basis, rates, paused(random, rates), start, now);
    } catch (SandkeeperException e) {
      // One starts later already.
      assertThat(e.reason().name()).isEqualTo("ALREADY_EXISTS");
    }
    return Step.PRICE;
  }

  private static Rates paused(Random random, Rates rates) {
    return new Rates(
        part(random, rates.usdPerSecond()),
        part(random, rates.usdPerCoreSecond()),
        part(random, rates.usdPerGibSecond()));
  }

  /** None of it, all of it, or half. */
  private static BigDecimal part(Random random, BigDecimal rate) {
    return rate.multiply(BigDecimal.valueOf(5L * random.nextInt(3), 1));
  }

  private static BigDecimal rate(Random random) {
    return BigDecimal.valueOf(random.nextInt(100_000), 9 + random.nextInt(3));
  }
}
