package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Instant;
import org.jooq.DSLContext;
import org.jooq.exception.DataAccessException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: the race test has teeth. Method: the guards are taken out of this class's own database, one
// behind the other, and the same race must then be seen to fail.
public final class LedgerGuardTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final int CALLERS = 8;
  private static final long FIRST_LEASE = 65 * 30_250;
  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");

  private final Books books = new Books(database);

  @Test
  void withoutGuardsTheConstraintCatchesItAndWithoutThatTheObserver() throws Exception {
    removeGuards(database);
    TenantId caught = books.tenant();
    books.limit(caught, LimitPeriod.DAY, FIRST_LEASE, NOON);
    books.admit(books.wish(caught), NOON);
    assertThatThrownBy(() -> books.admit(books.wish(caught), NOON))
        .isInstanceOf(DataAccessException.class)
        .hasMessageContaining("quota_period_limit_check");

    database
        .ownerContext()
        .execute("alter table quota_period drop constraint quota_period_limit_check");
    TenantId seen = books.tenant();
    long limit = (CALLERS - 1) * FIRST_LEASE;
    books.limit(seen, LimitPeriod.DAY, limit, NOON);
    Race race = Race.run(database, seen, CALLERS, _ -> books.admit(books.wish(seen), NOON));

    assertThat(race.answers()).noneMatch(Admission.Denied.class::isInstance);
    assertThat(race.mostUsed()).isGreaterThan(limit);
    assertThat(books.ledger.checkInvariants()).extracting(Violation::invariant).containsExactly(1);
  }

  /** Makes ledger_charge of a database believe every caller. */
  public static void removeGuards(DatabaseExtension database) {
    DSLContext owner = database.ownerContext();
    String guarded =
        owner
            .resultQuery("select pg_get_functiondef('ledger_charge'::regproc)")
            .fetchSingle()
            .get(0, String.class);
    String open =
        guarded
            .replace("IF v_tight THEN", "IF false THEN")
            .replace("AND (l.enforcement = 'SOFT' OR", "AND (true OR");
    assertThat(open).contains("IF false THEN", "AND (true OR");
    owner.connection(connection -> connection.createStatement().execute(open));
  }
}
