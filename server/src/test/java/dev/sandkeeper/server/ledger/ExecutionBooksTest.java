package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.sandkeeper.server.audit.AuditEvent;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.execution.Execution;
import dev.sandkeeper.server.execution.ExecutionRepository;
import dev.sandkeeper.server.execution.ExecutionRepository.Insertion;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.SandboxRepositories;
import dev.sandkeeper.server.store.StoreAccess;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import org.jooq.DSLContext;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** An execution's begin and end in the books, each one statement, and what its end says it cost. */
final class ExecutionBooksTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  /** 2 cores at $0.000014 and 0.5 GiB at $0.0000045 a second. */
  private static final long NANO_USD_PER_SECOND = 30_250;

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");

  private final Books books = new Books(database);
  private final IdGenerator ids = new IdGenerator(new Random());
  private final ExecutionRepository executions = SandboxRepositories.executions(books.transactions);
  private final AuditLog auditLog = LedgerRepositories.auditLog(books.transactions);
  private final TenantId tenant = books.tenant();
  private final SandboxId sandbox = books.run(books.wish(tenant), NOON);
  private final Principal principal =
      new Principal(
          tenant,
          tenant.value(),
          Set.of(Scope.RUN),
          Optional.empty(),
          new Principal.Origin("127.0.0.1", "test"));

  private Execution execution(Instant start) {
    return new Execution(
        ids.executionId(),
        sandbox,
        tenant,
        Optional.empty(),
        start,
        new byte[32],
        Optional.empty());
  }

  private Insertion begin(Execution execution, UUID requestId, boolean hasRoom) {
    return books.transactions.single(transaction ->
        executions.insert(
            transaction, principal, execution, new RequestKey(requestId, new byte[32]), hasRoom));
  }

  private ExecutionId began(Instant start) {
    Execution execution = execution(start);
    assertThat(begin(execution, UUID.randomUUID(), true)).isEqualTo(new Insertion.Added());
    return execution.executionId();
  }

  private Optional<NanoUsd> finish(ExecutionId executionId, Instant end) {
    return books
        .transactions
        .single(transaction -> executions.finish(transaction, executionId, completed(end)))
        .map(Execution.Outcome::cost);
  }

  private static Execution.Outcome completed(Instant end) {
    return new Execution.Outcome(
        ExecutionEnd.of(ExecutionEnd.Reason.COMPLETED),
        end,
        NanoUsd.ZERO,
        2,
        Optional.empty(),
        Optional.empty());
  }

  private long executionCount() {
    return books.costs.usage(sandbox, NOON).orElseThrow().executionCount();
  }

  private List<AuditEvent> audit() {
    return auditLog
        .list(tenant, Optional.of(sandbox), new Page.Request(100, Optional.empty()))
        .items();
  }

  private long booked(ExecutionId executionId) {
    return books.records(tenant, sandbox).stream()
        .filter(cost -> cost.executionId().equals(Optional.of(executionId)))
        .mapToLong(cost -> cost.amount().value())
        .sum();
  }

  @Test
  void whatAnEndSaysIsWhatIsBooked() {
    ExecutionId a = began(NOON.plusMillis(10_000));
    ExecutionId b = began(NOON.plusMillis(20_000));
    Optional<NanoUsd> costOfA = finish(a, NOON.plusMillis(40_001));
    ExecutionId c = began(NOON.plusMillis(40_001));
    Optional<NanoUsd> costOfB = finish(b, NOON.plusMillis(50_007));
    Optional<NanoUsd> costOfC = finish(c, NOON.plusMillis(55_500));

    books.extend(sandbox, NOON.plusSeconds(58));

    assertThat(costOfA.orElseThrow().value()).isCloseTo(booked(a), within(1L));
    assertThat(costOfB.orElseThrow().value()).isCloseTo(booked(b), within(1L));
    assertThat(costOfC.orElseThrow().value()).isCloseTo(booked(c), within(1L));
  }

  @Test
  void whatIsBookedAlreadyIsPartOfTheCost() {
    ExecutionId a = began(NOON.plusSeconds(10));
    books.extend(sandbox, NOON.plusSeconds(30));

    assertThat(booked(a)).isEqualTo(20 * NANO_USD_PER_SECOND);
    assertThat(finish(a, NOON.plusSeconds(45))).contains(new NanoUsd(35 * NANO_USD_PER_SECOND));
  }

  @Test
  void aCostFollowsThePriceOfEachMoment() {
    ExecutionId a = began(NOON.plusSeconds(20));
    books.price(
        "standard",
        PriceBasis.ALLOCATED,
        new Rates(new BigDecimal("0.001"), BigDecimal.ZERO, BigDecimal.ZERO),
        NOON.plusSeconds(80),
        NOON.minusSeconds(3600));
    books.extend(sandbox, NOON.plusSeconds(60));

    assertThat(finish(a, NOON.plusSeconds(90)))
        .contains(new NanoUsd(60 * NANO_USD_PER_SECOND + 10 * 1_000_000));
  }

  @Test
  void anEndToldTwiceIsWrittenOnce() {
    ExecutionId a = began(NOON.plusSeconds(10));
    Optional<NanoUsd> first = finish(a, NOON.plusSeconds(20));
    int events = audit().size();

    // As after an answer that was lost on its way.
    assertThat(finish(a, NOON.plusSeconds(20))).isEqualTo(first).isPresent();
    assertThat(finish(a, NOON.plusSeconds(21))).isEmpty();
    assertThat(audit()).hasSize(events);
    assertThat(audit().getFirst().entry().run().costNanoUsd()).hasValue(10 * NANO_USD_PER_SECOND);
    assertThat(audit().getFirst().entry().actor().keyId()).contains(tenant.value());
    assertThat(audit().getFirst().entry().operation().id()).isEqualTo("run_command");
    assertThat(auditLog.verify(tenant).firstBrokenSequence()).isEmpty();
  }

  @Test
  void onlyWhatIsAddedCounts() {
    UUID requestId = UUID.randomUUID();
    Execution first = execution(NOON);
    assertThat(begin(first, requestId, false)).isEqualTo(new Insertion.NoRoom());
    assertThat(begin(first, requestId, true)).isEqualTo(new Insertion.Added());

    // A repetition finds its execution, room or not.
    for (boolean hasRoom : new boolean[] {true, false}) {
      assertThat(begin(execution(NOON), requestId, hasRoom))
          .isInstanceOfSatisfying(
              Insertion.Repeated.class,
              repeated -> assertThat(repeated.executionId()).isEqualTo(first.executionId()));
    }
    // Its lease has run out by then.
    assertThat(begin(execution(NOON.plusSeconds(600)), UUID.randomUUID(), true))
        .isEqualTo(new Insertion.NotRunning());
    assertThat(executionCount()).isEqualTo(1);
  }

  @Test
  void whatRanBeforeIsNotReadAtEachEnd() {
    database.ownerContext().execute("ANALYZE");

    long read =
        books.transactions.single(transaction -> {
          DSLContext context = StoreAccess.contextOf(transaction);
          // Plans are made while the tables are small, and kept.
          runAndBill(transaction, NOON.plusSeconds(1));
          context.execute(
              """
              INSERT INTO execution (
                execution_id, sandbox_id, tenant_id, request_id, request_hash, kind, state, reason,
                start_time, end_time, code_hash)
              SELECT lpad(n::text, 20, '0'), e.sandbox_id, e.tenant_id, gen_random_uuid(),
                     e.request_hash, 'command', 'FINISHED', 'COMPLETED', e.start_time, e.end_time,
                     e.code_hash
              FROM execution e CROSS JOIN generate_series(1, 1000) AS n
              WHERE e.sandbox_id = {0}
              """,
              DSL.val(sandbox.value()));
          long before = readInFull(context);
          runAndBill(transaction, NOON.plusSeconds(11));
          return readInFull(context) - before;
        });

    assertThat(read).isZero();
  }

  private void runAndBill(Transaction transaction, Instant start) {
    Execution execution = execution(start);
    RequestKey requestKey = new RequestKey(UUID.randomUUID(), new byte[32]);
    assertThat(executions.insert(transaction, principal, execution, requestKey, true))
        .isEqualTo(new Insertion.Added());
    Execution.Outcome outcome = completed(start.plusSeconds(1));
    assertThat(executions.finish(transaction, execution.executionId(), outcome)).isPresent();
    books.ledger.extend(transaction, sandbox, 1, UsageReading.NOTHING, start.plusSeconds(2));
  }

  private static long readInFull(DSLContext context) {
    return context
        .fetchSingle(
            "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'execution'")
        .into(Long.class);
  }
}
