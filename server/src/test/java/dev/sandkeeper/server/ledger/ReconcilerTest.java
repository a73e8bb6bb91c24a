package dev.sandkeeper.server.ledger;

import static dev.sandkeeper.jooq.Tables.RECONCILIATION;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineHealth;
import dev.sandkeeper.server.engine.EngineMonitor;
import dev.sandkeeper.server.engine.EngineRecord;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.server.engine.FakeSandbox;
import dev.sandkeeper.server.sandbox.Reconciler;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import dev.sandkeeper.server.telemetry.EngineInstruments;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.slf4j.LoggerFactory;

// Goal: each sandbox that ended is compared with its engine's record once, by whichever server.
// Method: an engine that does as it is told, real books, and a clock of the test's.
final class ReconcilerTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final Duration TOLERANCE = Duration.ofSeconds(2);
  private static final Duration DELAY = Duration.ofMinutes(1);
  private static final AtomicInteger COUNTER = new AtomicInteger();

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();
  private final ReconciliationRepository repository =
      LedgerRepositories.reconciliations(books.transactions);
  private final FakeEngine engine = new FakeEngine("engine-" + COUNTER.incrementAndGet());
  private volatile Instant now = NOON;
  private final Reconciler reconciler = reconciler(engine);

  ReconcilerTest() {
    engine.keepRecords();
  }

  private Reconciler reconciler(FakeEngine of) {
    EngineMonitor monitor =
        () ->
            new EngineHealth(
                true, EngineHealth.Breaker.CLOSED, NOON, Optional.empty(), Optional.empty(), 0, 1);
    return new Reconciler(
        books.transactions,
        repository,
        new Engines(of.name(), List.of(new Engines.Member(of, OptionalInt.empty(), monitor))),
        () -> now,
        EngineInstruments.none(),
        new Reconciler.Settings(DELAY, TOLERANCE));
  }

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void runningTimeIsComparedPausesLeftOut() {
    SandboxId sandbox = run(NOON);
    books.pause(sandbox, NOON.plusSeconds(20));
    books.resume(sandbox, NOON.plusSeconds(40));
    books.settle(sandbox, NOON.plusMillis(50_123));
    engine.record(sandbox, ran(35_000));

    pass(Duration.ofMinutes(2));

    assertThat(listed(true))
        .containsExactly(
            new Reconciliation(
                sandbox,
                tenant,
                engine.name(),
                Optional.of(FakeSandbox.remoteId(sandbox)),
                Duration.ofMillis(30_123),
                Optional.of(
                    new Reconciliation.Reported(
                        Duration.ofSeconds(35), NOON, NOON.plusSeconds(50))),
                TOLERANCE,
                now));
    assertThat(listed(true).getFirst().drift()).contains(Duration.ofMillis(4_877));
  }

  @Test
  void whatDiffersByNoMoreThanTheToleranceAgrees() {
    SandboxId more = ended(NOON, 10);
    SandboxId less = ended(NOON, 10);
    SandboxId tooMuch = ended(NOON, 10);
    SandboxId tooLittle = ended(NOON, 10);
    engine.record(more, ran(12_000));
    engine.record(less, ran(8_000));
    engine.record(tooMuch, ran(12_001));
    engine.record(tooLittle, ran(7_999));

    pass(Duration.ofMinutes(2));

    assertThat(listed(true))
        .extracting(Reconciliation::sandboxId)
        .containsExactlyInAnyOrder(tooMuch, tooLittle)
        .doesNotContain(more, less);
    assertThat(listed(false)).hasSize(4);
    assertThat(listed(true)).allMatch(Reconciliation::drifted);
  }

  @Test
  void theEngineIsAskedFromTheDelayOnUntilADayIsOver() {
    SandboxId young = ended(NOON, 10);
    engine.record(young, ran(10_000));
    pass(Duration.ofMillis(69_999));
    assertThat(engine.calls(Call.RECORD)).isZero();
    pass(Duration.ofMillis(1));
    assertThat(engine.calls(Call.RECORD)).isEqualTo(1);

    SandboxId old = ended(NOON, 20);
    engine.record(old, ran(20_000));
    now = NOON.plusSeconds(20).plus(Duration.ofDays(1));
    reconciler.reconcile();
    assertThat(engine.calls(Call.RECORD)).isEqualTo(1);
    assertThat(listed(false)).extracting(Reconciliation::sandboxId).containsExactly(young);
  }

  @Test
  void whatHasBeenComparedIsNotComparedAgain() {
    engine.record(ended(NOON, 10), ran(50_000));

    try (Warnings warnings = new Warnings()) {
      pass(Duration.ofMinutes(2));
      pass(Duration.ofMinutes(11));
      pass(Duration.ofDays(2));

      assertThat(warnings.messages())
          .containsExactly("What was billed of a sandbox is not what its engine has on record");
    }
    assertThat(engine.calls(Call.RECORD)).isEqualTo(1);
    assertThat(listed(true)).hasSize(1);
  }

  @Test
  void theEngineIsAskedAgainWhileItHasNoRecord() {
    SandboxId sandbox = ended(NOON, 10);
    pass(Duration.ofMinutes(2));
    pass(Duration.ofMinutes(9));
    assertThat(engine.calls(Call.RECORD)).isEqualTo(1);

    pass(Duration.ofMinutes(1));
    assertThat(engine.calls(Call.RECORD)).isEqualTo(2);
    assertThat(listed(false)).isEmpty();
    engine.record(sandbox, ran(10_000));
    pass(Duration.ofMinutes(10));
    assertThat(listed(false)).hasSize(1);
    assertThat(listed(true)).isEmpty();
  }

  @Test
  void whatTheEngineNeverHadOnRecordIsADrift() {
    SandboxId sandbox = ended(NOON, 10);
    pass(Duration.ofMinutes(2));
    pass(Duration.ofHours(23));
    assertThat(listed(false)).isEmpty();

    pass(Duration.ofHours(1));

    assertThat(listed(true))
        .singleElement()
        .satisfies(found -> {
          assertThat(found.sandboxId()).isEqualTo(sandbox);
          assertThat(found.billed()).isEqualTo(Duration.ofSeconds(10));
          assertThat(found.reported()).isEmpty();
          assertThat(found.drift()).isEmpty();
        });
    pass(Duration.ofHours(1));
    assertThat(engine.calls(Call.RECORD)).isEqualTo(3);
  }

  @Test
  void anEngineThatCannotAnswerIsLeftAloneUntilItCan() {
    for (int i = 0; i < 3; i++) {
      engine.record(ended(NOON, 10), ran(10_000));
    }
    engine.fail(Call.RECORD, EngineException.Kind.UNAVAILABLE);
    pass(Duration.ofMinutes(2));
    assertThat(engine.calls(Call.RECORD)).isEqualTo(1);

    engine.recover();
    pass(Duration.ofMinutes(10));
    assertThat(listed(false)).hasSize(3);
  }

  @Test
  void oneRecordThatCannotBeReadKeepsNoOtherFromBeingCompared() {
    for (int i = 0; i < 3; i++) {
      engine.record(ended(NOON, 10), ran(10_000));
    }
    engine.fail(Call.RECORD, EngineException.Kind.FAILED);
    pass(Duration.ofMinutes(2));
    assertThat(engine.calls(Call.RECORD)).isEqualTo(3);

    engine.recover();
    pass(Duration.ofMinutes(10));
    assertThat(listed(false)).hasSize(3);
  }

  @Test
  void enginesWithoutRecordsAndSandboxesThatNeverRanAreLeftAlone() {
    FakeEngine other = new FakeEngine("other-" + COUNTER.incrementAndGet());
    SandboxId elsewhere = books.run(books.wish(tenant), place(other), NOON);
    books.settle(elsewhere, NOON.plusSeconds(10));
    Books.Wish neverRan = books.wish(tenant);
    books.admit(neverRan, place(engine), NOON);
    books.settle(neverRan.sandboxId(), NOON.plusSeconds(10));

    pass(Duration.ofMinutes(2));
    reconciler(other).reconcile();

    assertThat(engine.calls(Call.RECORD)).isZero();
    assertThat(other.calls(Call.RECORD)).isZero();
    assertThat(rows(elsewhere) + rows(neverRan.sandboxId())).isZero();
  }

  @Test
  void reconcilersAtOnceAskForEachSandboxOnce() throws Exception {
    int reconcilers = 4;
    for (int round = 0; round < 10; round++) {
      List<SandboxId> sandboxes = new ArrayList<>();
      for (int i = 0; i < 10; i++) {
        sandboxes.add(ended(now, 10));
      }
      now = now.plus(Duration.ofMinutes(2));
      if (round % 2 == 1) { // new ones are claimed by whoever adds them; these are there already
        reconciler.reconcile();
        now = now.plus(Duration.ofMinutes(10));
      }
      int before = engine.calls(Call.RECORD);
      sandboxes.forEach(sandbox -> engine.record(sandbox, ran(10_000)));
      CyclicBarrier barrier = new CyclicBarrier(reconcilers);
      try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
        List<Future<Boolean>> passes = new ArrayList<>();
        for (int i = 0; i < reconcilers; i++) {
          Reconciler other = reconciler(engine);
          Callable<Boolean> pass =
              () -> {
                barrier.await();
                other.reconcile();
                return true;
              };
          passes.add(executor.submit(pass));
        }
        for (Future<Boolean> pass : passes) {
          assertThat(pass.get()).isTrue();
        }
      }
      // What one met while the other claimed it is left for the next pass.
      reconciler.reconcile();

      assertThat(engine.calls(Call.RECORD) - before).as("round %s", round).isEqualTo(10);
    }
    assertThat(listed(false)).hasSize(100);
  }

  @Test
  void oneOfTwoThatClaimedASandboxOneAfterTheOtherWrites() {
    engine.record(ended(NOON, 10), ran(50_000));
    ReconciliationRepository.Claimed first = claim(NOON.plusSeconds(120)).getFirst();
    ReconciliationRepository.Claimed second = claim(NOON.plusSeconds(720)).getFirst();
    assertThat(second).isEqualTo(first);
    Reconciliation found =
        new Reconciliation(
            first.sandboxId(),
            tenant,
            engine.name(),
            first.remoteId(),
            first.billed(),
            Optional.of(
                new Reconciliation.Reported(Duration.ofSeconds(50), NOON, NOON.plusSeconds(60))),
            TOLERANCE,
            NOON.plusSeconds(730));
    Reconciliation later =
        new Reconciliation(
            first.sandboxId(),
            tenant,
            engine.name(),
            first.remoteId(),
            first.billed(),
            Optional.empty(),
            TOLERANCE,
            NOON.plusSeconds(740));

    assertThat(complete(found)).isTrue();
    assertThat(complete(later)).isFalse();
    assertThat(listed(false)).containsExactly(found);
  }

  @Test
  void aClaimTakesNoMoreThanItMay() {
    for (int i = 0; i < 3; i++) {
      var _ = ended(NOON, 10);
    }
    Instant when = NOON.plusSeconds(120);
    ReconciliationRepository.Due due =
        new ReconciliationRepository.Due(engine.name(), when.minusSeconds(3600), when, 2);

    assertThat(claim(due, when)).hasSize(2);
    assertThat(claim(due, when)).hasSize(1);
    assertThat(claim(due, when)).isEmpty();
  }

  @Test
  void pagesGoOnWhereTheLastOneEnded() {
    for (int i = 0; i < 5; i++) {
      engine.record(ended(NOON, 10), ran(i % 2 == 0 ? 10_000 : 90_000));
      pass(Duration.ofMinutes(2));
    }
    List<Reconciliation> all = listed(false);
    assertThat(all).hasSize(5);
    assertThat(all.stream().map(Reconciliation::checkTime).toList().reversed()).isSorted();

    Page<Reconciliation> first = page(new Page.Request(2, Optional.empty()));
    Page<Reconciliation> second = page(new Page.Request(2, first.next()));
    Page<Reconciliation> third = page(new Page.Request(2, second.next()));

    assertThat(first.items()).isEqualTo(all.subList(0, 2));
    assertThat(second.items()).isEqualTo(all.subList(2, 4));
    assertThat(third.items()).isEqualTo(all.subList(4, 5));
    assertThat(third.next()).isEmpty();
    assertThat(listed(true)).hasSize(2);
    assertThat(
            repository
                .list(Optional.empty(), false, new Page.Request(1000, Optional.empty()))
                .items())
        .containsAll(all);
  }

  @Test
  void closedMonthsCountInWhatWasBilledAndTakeWhatWasComparedAlong() {
    Instant january = Instant.parse("2022-01-31T23:59:40Z");
    SandboxId before = run(january.minusSeconds(600));
    books.settle(before, january.minusSeconds(570));
    engine.record(before, ran(30_000));
    now = january;
    reconciler.reconcile();
    SandboxId across = run(january);
    books.pause(across, january.plusSeconds(5));
    books.resume(across, january.plusSeconds(15));
    books.extend(across, january.plusSeconds(30));
    assertThat(listed(false)).hasSize(1);

    now = Instant.parse("2022-04-01T00:00:00Z");
    Upkeep upkeep = new Upkeep(books.transactions, LedgerRepositories.upkeep(), () -> now, 1);
    upkeep.tendMonths();
    upkeep.fold();
    upkeep.tendMonths();
    assertThat(listed(false)).isEmpty();
    books.settle(across, january.plusSeconds(50));
    now = january.plus(Duration.ofDays(1)); // the first one has been over for longer
    engine.record(across, ran(40_000));
    reconciler.reconcile();

    assertThat(listed(false))
        .singleElement()
        .satisfies(found -> assertThat(found.billed()).isEqualTo(Duration.ofSeconds(40)));
  }

  private SandboxId run(Instant start) {
    return books.run(books.wish(tenant), place(engine), start);
  }

  private SandboxId ended(Instant start, int seconds) {
    SandboxId sandbox = run(start);
    books.settle(sandbox, start.plusSeconds(seconds));
    return sandbox;
  }

  private static EngineCapacity place(FakeEngine engine) {
    return new EngineCapacity(engine.name(), OptionalInt.empty());
  }

  private static EngineRecord ran(long millis) {
    return new EngineRecord(Duration.ofMillis(millis), NOON, NOON.plusSeconds(50));
  }

  private void pass(Duration time) {
    now = now.plus(time);
    reconciler.reconcile();
  }

  private List<Reconciliation> listed(boolean driftedOnly) {
    return repository
        .list(Optional.of(engine.name()), driftedOnly, new Page.Request(1000, Optional.empty()))
        .items();
  }

  private Page<Reconciliation> page(Page.Request request) {
    return repository.list(Optional.of(engine.name()), false, request);
  }

  private List<ReconciliationRepository.Claimed> claim(Instant when) {
    return claim(
        new ReconciliationRepository.Due(
            engine.name(), when.minus(Duration.ofDays(1)), when.minus(DELAY), 100),
        when);
  }

  private List<ReconciliationRepository.Claimed> claim(
      ReconciliationRepository.Due due, Instant when) {
    return books.transactions.call(
        tx -> repository.claim(tx, due, when, when.plus(Duration.ofMinutes(10))));
  }

  private boolean complete(Reconciliation reconciliation) {
    return books.transactions.single(tx -> repository.complete(tx, reconciliation));
  }

  private static int rows(SandboxId sandbox) {
    return database
        .context()
        .fetchCount(RECONCILIATION, RECONCILIATION.SANDBOX_ID.eq(sandbox.value()));
  }

  /** What the reconciler warns of. */
  private static final class Warnings implements AutoCloseable {
    private final Logger logger = (Logger) LoggerFactory.getLogger(Reconciler.class);
    private final ListAppender<ILoggingEvent> appender = new ListAppender<>();

    Warnings() {
      appender.start();
      logger.addAppender(appender);
    }

    List<String> messages() {
      return appender.list.stream()
          .filter(event -> event.getLevel().equals(Level.WARN))
          .map(ILoggingEvent::getMessage)
          .toList();
    }

    @Override
    public void close() {
      logger.detachAppender(appender);
    }
  }
}
