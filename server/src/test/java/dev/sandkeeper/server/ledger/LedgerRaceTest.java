package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.Books.Wish;
import dev.sandkeeper.server.store.StoreAccess;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: nobody gets past a limit, whoever meets whom. Method: callers start from a barrier while an
// observer samples the counters throughout. LedgerGuardTest shows that the same race fails without
// the guards.
final class LedgerRaceTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final int CALLERS = 8;
  private static final int ROUNDS = 20;
  private static final long FIRST_LEASE = 65 * 30_250;
  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");

  private final Books books = new Books(database);

  @Test
  void oneOfNAdmissionsFindsNoPlace() throws Exception {
    for (int round = 0; round < ROUNDS; round++) {
      TenantId tenant = books.tenant();
      books.limit(tenant, LimitPeriod.DAY, (CALLERS - 1) * FIRST_LEASE, NOON);

      Race race = Race.run(database, tenant, CALLERS, _ -> books.admit(books.wish(tenant), NOON));

      assertThat(race.answers())
          .filteredOn(Admission.Denied.class::isInstance)
          .as("denied in round %s", round)
          .hasSize(1);
      assertThat(race.observations()).isPositive();
      assertThat(race.mostUsed()).isLessThanOrEqualTo((CALLERS - 1) * FIRST_LEASE);
    }
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void equalRequestsAtOnceAreAdmittedOnce() throws Exception {
    for (int round = 0; round < ROUNDS; round++) {
      TenantId tenant = books.tenant();
      books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
      UUID requestId = UUID.randomUUID();

      Race race =
          Race.run(
              database,
              tenant,
              CALLERS,
              _ -> books.admit(books.wish(tenant).withRequestId(requestId), NOON));

      assertThat(race.answers())
          .filteredOn(Admission.Granted.class::isInstance)
          .as("granted in round %s", round)
          .hasSize(1);
      assertThat(race.answers())
          .filteredOn(Admission.Replayed.class::isInstance)
          .hasSize(CALLERS - 1);
      assertThat(race.answers().stream().distinct()).hasSize(2);
    }
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void settlersOfOneSandboxBookItOnce() throws Exception {
    TenantId tenant = books.tenant();
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    Race race =
        Race.run(database, tenant, CALLERS, i -> books.settle(sandbox, NOON.plusSeconds(10 + i)));

    assertThat(race.answers())
        .extracting(answer -> ((Settlement) answer).outcome())
        .containsOnlyOnce(Settlement.Outcome.SETTLED);
    assertThat(race.answers())
        .extracting(answer -> ((Settlement) answer).cost())
        .containsOnly(new NanoUsd(books.quota(tenant, NOON).spent()));
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void limitsChangeWhileOthersAdmitExtendAndSettle() throws Exception {
    TenantId tenant = books.tenant();
    List<SandboxId> sandboxes = new ArrayList<>();
    for (int i = 0; i < CALLERS; i++) {
      sandboxes.add(books.run(books.wish(tenant), NOON));
    }
    books.limit(tenant, LimitPeriod.MONTH, 40 * FIRST_LEASE, NOON);

    Race.run(
        database,
        tenant,
        CALLERS,
        i -> {
          for (int step = 1; step <= 10; step++) {
            if (i == 0) {
              Limit limit = books.limit(tenant, LimitPeriod.DAY, step * 5L * FIRST_LEASE, NOON);
              if (step % 3 == 0) {
                books.transactions.run(tx -> books.limits.delete(tx, limit.limitId()));
              }
            } else if (i == 1) {
              books.admit(books.wish(tenant), NOON);
            } else {
              books.extend(sandboxes.get(i), NOON.plusSeconds(step));
            }
          }
          return i < 5 ? NOON : books.settle(sandboxes.get(i), NOON.plusSeconds(11));
        });

    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void settleWaitsForAStartUnderWayAndThenBooksIt() throws Exception {
    TenantId tenant = books.tenant();
    Wish wish = books.wish(tenant);
    books.admit(wish, NOON);
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<Settlement> settle =
          books.transactions.call(transaction -> {
            StoreAccess.contextOf(transaction)
                .execute(
                    "update sandbox set state = 'RUNNING', start_time = create_time where"
                        + " sandbox_id = ?",
                    wish.sandboxId().value());
            Future<Settlement> other =
                executor.submit(() -> books.settle(wish.sandboxId(), NOON.plusSeconds(1)));
            Awaitility.await().until(() -> other.isDone() || waitingForLocks() > 0);
            return other;
          });

      assertThat(settle.get().outcome()).isEqualTo(Settlement.Outcome.SETTLED);
    }
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  private static int waitingForLocks() {
    return database
        .context()
        .resultQuery(
            "select count(*) from pg_stat_activity where datname = current_database() and"
                + " wait_event_type = 'Lock'")
        .fetchSingle()
        .get(0, Integer.class);
  }
}
