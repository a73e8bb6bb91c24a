package dev.sandkeeper.bench;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.LlmRepository;
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
    LlmRepository.Answer answer =
        decide(ledger, new LlmRepository.Request.Reserve(LedgerLab.reservation(tenant)));
    if (!(answer instanceof LlmRepository.Answer.Granted granted)) {
      throw new BenchException("the ledger answered " + answer);
    }
    decide(ledger, new LlmRepository.Request.End(LedgerLab.settlement(tenant, granted.hold())));
  }

  private static LlmRepository.Answer decide(LedgerLab ledger, LlmRepository.Request request) {
    return ledger
        .transactions()
        .single(tx -> ledger.repository().decide(tx, List.of(request), Instant.now()))
        .getFirst();
  }
}
