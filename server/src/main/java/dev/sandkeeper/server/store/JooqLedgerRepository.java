package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.LEDGER_ADMIT;
import static dev.sandkeeper.jooq.Tables.LEDGER_HOLD_PARTS;
import static dev.sandkeeper.jooq.Tables.LEDGER_RENEW;
import static dev.sandkeeper.jooq.Tables.LEDGER_SETTLE;
import static dev.sandkeeper.jooq.Tables.LEDGER_VIOLATIONS;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.jooq.tables.LedgerHoldParts;
import dev.sandkeeper.jooq.tables.records.LedgerAdmitRecord;
import dev.sandkeeper.jooq.tables.records.LedgerRenewRecord;
import dev.sandkeeper.jooq.tables.records.LedgerSettleRecord;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.Admission;
import dev.sandkeeper.server.ledger.AdmissionRequest;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.ledger.EngineCapacity;
import dev.sandkeeper.server.ledger.EngineFull;
import dev.sandkeeper.server.ledger.Extension;
import dev.sandkeeper.server.ledger.LeaseState;
import dev.sandkeeper.server.ledger.LedgerRepository;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.ledger.Settlement;
import dev.sandkeeper.server.ledger.Violation;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Optional;
import org.jooq.DSLContext;
import org.jooq.Record2;
import org.jooq.impl.DSL;
import org.jspecify.annotations.Nullable;

/** Calls the ledger's functions; the rules are theirs. */
final class JooqLedgerRepository implements LedgerRepository {
  private static final int MAX_VIOLATIONS = 1000;

  private final DSLContext context;

  JooqLedgerRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Admission admit(
      Transaction transaction,
      AdmissionRequest request,
      Duration lease,
      Duration stopTime,
      Instant now) {
    LedgerAdmitRecord answer =
        JooqTransaction.contextOf(transaction)
            .selectFrom(
                LEDGER_ADMIT(
                    request.tenantId().value(),
                    request.attribution().organisationId().orElse(null),
                    request.attribution().userId().orElse(null),
                    request.attribution().conversationId().orElse(null),
                    request.attribution().agentId().orElse(null),
                    request.requestId(),
                    request.sandboxId().value(),
                    request.tier(),
                    request.engine().engine(),
                    Columns.nullable(request.engine().max()),
                    request.cpuCores(),
                    request.memoryMib(),
                    lease.toMillis(),
                    stopTime.toMillis(),
                    now))
            .fetchSingle();
    return switch (answer.getOutcome()) {
      case "GRANTED" ->
          new Admission.Granted(
              answer.getHoldId(), answer.getPaidUntil(), new NanoUsd(answer.getAmountNanoUsd()));
      case "DENIED" -> new Admission.Denied(Refusals.of(answer));
      case "NO_PRICE" -> new Admission.NoPrice(request.tier());
      case "ENGINE_FULL" ->
          new Admission.Full(
              new EngineFull(
                  request.engine().engine(),
                  request.engine().max().orElseThrow(),
                  answer.getOccupied()));
      case "REPLAYED" -> new Admission.Replayed(new SandboxId(answer.getSandboxId()));
      case "OTHER_KIND" -> new Admission.OtherKind();
      case "GONE" -> new Admission.Gone();
      default -> throw StoreErrors.unexpected("ledger_admit", answer.getOutcome());
    };
  }

  @Override
  public Optional<EngineFull> full(Transaction transaction, EngineCapacity engine) {
    if (engine.max().isEmpty()) {
      return Optional.empty();
    }
    int capacity = engine.max().getAsInt();
    int occupied =
        JooqTransaction.contextOf(transaction)
            .select(Routines.engineOccupied(engine.engine()))
            .fetchSingle()
            .value1();
    return occupied < capacity
        ? Optional.empty()
        : Optional.of(new EngineFull(engine.engine(), capacity, occupied));
  }

  @Override
  public Extension renew(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      UsageReading usage,
      Duration lease,
      Optional<LeaseState> state,
      Optional<EngineCapacity> engine,
      Instant now) {
    LedgerRenewRecord answer =
        JooqTransaction.contextOf(transaction)
            .selectFrom(
                LEDGER_RENEW(
                    sandboxId.value(),
                    generation,
                    Columns.nullable(usage.cpuMicros()),
                    Columns.nullable(usage.memoryMibMillis()),
                    Columns.nullable(usage.peakMemoryBytes()),
                    lease.toMillis(),
                    now,
                    state.map(LeaseState::name).orElse(null),
                    max(engine)))
            .fetchSingle();
    return switch (answer.getOutcome()) {
      case "RENEWED" -> new Extension.Renewed(answer.getPaidUntil());
      case "SHORTENED" -> new Extension.Shortened(answer.getPaidUntil(), Refusals.of(answer));
      case "REFUSED" -> new Extension.Refused(answer.getPaidUntil(), Refusals.of(answer));
      case "ENGINE_FULL" ->
          new Extension.Full(
              new EngineFull(
                  engine.orElseThrow().engine(),
                  engine.orElseThrow().max().orElseThrow(),
                  answer.getOccupied()));
      case "FENCED" -> new Extension.Fenced();
      default -> throw StoreErrors.unexpected("ledger_renew", answer.getOutcome());
    };
  }

  private static @Nullable Integer max(Optional<EngineCapacity> engine) {
    return engine.isPresent() ? Columns.nullable(engine.get().max()) : null;
  }

  @Override
  public Optional<Settlement> settle(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      Optional<UsageReading> usage,
      Instant endTime,
      EndReason reason) {
    UsageReading reading = usage.orElse(UsageReading.NOTHING);
    LedgerSettleRecord answer =
        JooqTransaction.contextOf(transaction)
            .selectFrom(
                LEDGER_SETTLE(
                    sandboxId.value(),
                    generation,
                    Columns.nullable(reading.cpuMicros()),
                    Columns.nullable(reading.memoryMibMillis()),
                    Columns.nullable(reading.peakMemoryBytes()),
                    usage.isEmpty(),
                    endTime,
                    reason.name()))
            .fetchSingle();
    if (answer.getOutcome().equals("FENCED")) {
      return Optional.empty();
    }
    return Optional.of(
        new Settlement(
            Settlement.Outcome.valueOf(answer.getOutcome()),
            Duration.ofMillis(answer.getLifetimeMs()),
            Columns.optional(answer.getCpuMicros()),
            Columns.optional(answer.getMemoryMibMillis()),
            Columns.optional(answer.getPeakMemoryBytes()),
            new NanoUsd(answer.getCostNanoUsd())));
  }

  @Override
  public Optional<NanoUsd> allocatedCost(
      String tier, int cpuCores, int memoryMib, Instant from, Duration time) {
    Instant start = from.truncatedTo(ChronoUnit.MILLIS);
    LedgerHoldParts parts =
        LEDGER_HOLD_PARTS(
            tier,
            cpuCores,
            memoryMib,
            start,
            start.plusMillis(time.toMillis()),
            BigDecimal.ZERO,
            false);
    Record2<BigDecimal, BigDecimal> sums =
        context
            .select(DSL.sum(parts.AMOUNT_NANO_USD), DSL.sum(parts.LIFETIME_MS))
            .from(parts)
            .fetchSingle();
    return Optional.ofNullable(sums.value2())
        .filter(priced -> priced.longValueExact() == time.toMillis())
        .map(_ -> new NanoUsd(sums.value1().longValueExact()));
  }

  @Override
  public List<Violation> violations() {
    return context
        .selectFrom(LEDGER_VIOLATIONS())
        .limit(MAX_VIOLATIONS)
        .fetch(row -> new Violation(row.getInvariant(), row.getSubject(), row.getDetail()));
  }
}
