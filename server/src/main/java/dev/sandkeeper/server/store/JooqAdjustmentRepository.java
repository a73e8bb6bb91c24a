package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.LEDGER_CORRECT;
import static dev.sandkeeper.jooq.Tables.LEDGER_CREDIT;

import dev.sandkeeper.jooq.tables.records.LedgerCorrectRecord;
import dev.sandkeeper.jooq.tables.records.LedgerCreditRecord;
import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.AdjustmentRepository;
import dev.sandkeeper.server.ledger.Correction;
import dev.sandkeeper.server.ledger.Credit;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Instant;
import java.util.Optional;
import org.jooq.exception.DataAccessException;

/** Calls the ledger's functions for corrections and credits; the rules are theirs. */
final class JooqAdjustmentRepository implements AdjustmentRepository {
  @Override
  public Answer correct(Transaction transaction, Correction correction, Instant now) {
    LedgerCorrectRecord answer =
        JooqTransaction.contextOf(transaction)
            .selectFrom(
                LEDGER_CORRECT(
                    correction.tenantId().value(),
                    correction.requestKey().requestId(),
                    correction.requestKey().contentHash(),
                    Columns.nullable(Columns.number(correction.costRecordId())),
                    correction.amount().value(),
                    correction.reason(),
                    now))
            .fetchSingle();
    return switch (answer.getOutcome()) {
      case "BOOKED" -> new Answer.Booked(answer.getCostRecordId().toString());
      case "REPLAYED" ->
          new Answer.Replayed(answer.getCostRecordId().toString(), answer.getRequestHash());
      case "GONE" -> new Answer.Gone();
      case "UNKNOWN" -> new Answer.NoRecord();
      case "CORRECTION" -> new Answer.OfCorrection();
      case "EXCEEDS" -> new Answer.TooMuch(new NanoUsd(answer.getRemaining()));
      default -> throw StoreErrors.unexpected("ledger_correct", answer.getOutcome());
    };
  }

  @Override
  public Answer credit(Transaction transaction, Credit credit, Instant now) {
    Attribution attribution = credit.attribution();
    LedgerCreditRecord answer;
    try {
      answer =
          JooqTransaction.contextOf(transaction)
              .selectFrom(
                  LEDGER_CREDIT(
                      credit.tenantId().value(),
                      attribution.organisationId().orElse(null),
                      attribution.userId().orElse(null),
                      attribution.conversationId().orElse(null),
                      attribution.path().orElse(null),
                      attribution.agentId().orElse(null),
                      attribution.taskId().orElse(null),
                      attribution.correlationId().orElse(null),
                      attribution.workflowId().orElse(null),
                      credit.requestKey().requestId(),
                      credit.requestKey().contentHash(),
                      credit.spend().name(),
                      credit.amount().value(),
                      credit.reason(),
                      now))
              .fetchSingle();
    } catch (DataAccessException e) {
      if (StoreErrors.constraint(e).equals(Optional.of("adjustment_tenant_fk"))) {
        return new Answer.NoTenant();
      }
      throw e;
    }
    return switch (answer.getOutcome()) {
      case "BOOKED" -> new Answer.Booked(answer.getCostRecordId().toString());
      case "REPLAYED" ->
          new Answer.Replayed(answer.getCostRecordId().toString(), answer.getRequestHash());
      case "GONE" -> new Answer.Gone();
      default -> throw StoreErrors.unexpected("ledger_credit", answer.getOutcome());
    };
  }
}
