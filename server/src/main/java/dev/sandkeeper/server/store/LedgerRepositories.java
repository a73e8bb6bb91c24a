package dev.sandkeeper.server.store;

import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.ledger.AdjustmentRepository;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.LedgerRepository;
import dev.sandkeeper.server.ledger.LimitRepository;
import dev.sandkeeper.server.ledger.LlmRepository;
import dev.sandkeeper.server.ledger.ModelPriceRepository;
import dev.sandkeeper.server.ledger.PriceRepository;
import dev.sandkeeper.server.ledger.ReconciliationRepository;
import dev.sandkeeper.server.ledger.UpkeepRepository;

/** Makes the adapters of the ledger's and the audit's ports. */
public final class LedgerRepositories {
  private LedgerRepositories() {}

  /** Returns the keeper of holds, segments and cost records. */
  public static LedgerRepository ledger(JooqTransactions transactions) {
    return new JooqLedgerRepository(transactions.context());
  }

  /** Returns the keeper of the price book. */
  public static PriceRepository prices(JooqTransactions transactions) {
    return new JooqPriceRepository(transactions.context());
  }

  /** Returns the keeper of the price book of models. */
  public static ModelPriceRepository modelPrices(JooqTransactions transactions) {
    return new JooqModelPriceRepository(transactions.context());
  }

  /** Returns the keeper of what language models cost. */
  public static LlmRepository llm(JooqTransactions transactions) {
    return new JooqLlmRepository(transactions.context());
  }

  /** Returns the keeper of limits and their counters. */
  public static LimitRepository limits(JooqTransactions transactions) {
    return new JooqLimitRepository(transactions.context());
  }

  /** Returns the reader of what was billed. */
  public static CostRepository costs(JooqTransactions transactions) {
    return new JooqCostRepository(transactions.context());
  }

  /** Returns the keeper of corrections and credits. */
  public static AdjustmentRepository adjustments() {
    return new JooqAdjustmentRepository();
  }

  /** Returns the keeper of what came of comparing the books with the engines' records. */
  public static ReconciliationRepository reconciliations(JooqTransactions transactions) {
    return new JooqReconciliationRepository(transactions.context());
  }

  /** Returns what keeps cost records in order. */
  public static UpkeepRepository upkeep() {
    return new JooqUpkeepRepository();
  }

  /** Returns the record of who did what. */
  public static AuditLog auditLog(JooqTransactions transactions) {
    return new JooqAuditLog(transactions.context());
  }
}
