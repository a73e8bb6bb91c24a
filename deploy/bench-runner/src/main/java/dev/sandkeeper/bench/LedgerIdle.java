package dev.sandkeeper.bench;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmRepository;
import dev.sandkeeper.server.ledger.LlmReservation;
import dev.sandkeeper.server.ledger.LlmSpend;
import java.io.IOException;
import java.time.Instant;
import java.util.List;

/** What batching costs a caller who is alone; raw: the same without it. */
final class LedgerIdle implements Row {

  @Override
  public Spec spec() {
    return new Spec("ledger_idle", "ms", Better.LOWER, Floor.ratio(1.05), 2000, 200);
  }

  @Override
  public Runs start(Lab lab) throws IOException {
    LedgerLab ledger = lab.openLedger();
    TenantId tenant = ledger.tenant("t", List.of());
    LlmSpend spend = ledger.spend();
    return Runs.of(
        () -> Timing.millis(() -> LedgerLab.pair(spend, tenant)),
        () -> Timing.millis(() -> direct(ledger, tenant)));
  }

  private static void direct(LedgerLab ledger, TenantId tenant) {
    LlmRepository repository = ledger.repository();
    LlmReservation reservation = LedgerLab.reservation(tenant);
    LlmRepository.Answer answer =
        ledger
            .transactions()
            .single(tx -> repository.reserve(tx, List.of(reservation), Instant.now()))
            .getFirst();
    LlmHold hold =
        answer instanceof LlmRepository.Answer.Granted granted ? granted.hold() : refused(answer);
    ledger
        .transactions()
        .single(tx ->
            repository.settle(tx, List.of(LedgerLab.settlement(tenant, hold)), Instant.now()));
  }

  private static LlmHold refused(LlmRepository.Answer answer) {
    throw new BenchException("the ledger answered " + answer);
  }
}
