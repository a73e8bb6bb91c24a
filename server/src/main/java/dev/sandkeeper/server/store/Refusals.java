package dev.sandkeeper.server.store;

import dev.sandkeeper.server.ledger.LimitPeriod;
import dev.sandkeeper.server.ledger.LimitResource;
import dev.sandkeeper.server.ledger.LimitScope;
import dev.sandkeeper.server.ledger.Refusal;
import java.time.Instant;
import java.util.Optional;
import org.jooq.Record;

/** Reads which limit refused: all functions of the ledger that may be refused name it alike. */
final class Refusals {
  private Refusals() {}

  static Refusal of(Record answer) {
    return new Refusal(
        answer.get("limit_id", String.class),
        answer.get("scope", LimitScope.class),
        answer.get("scope_id", String.class),
        answer.get("resource", LimitResource.class),
        answer.get("period", LimitPeriod.class),
        answer.get("remaining", Long.class),
        answer.get("needed", Long.class),
        Optional.ofNullable(answer.get("reset_time", Instant.class)));
  }
}
