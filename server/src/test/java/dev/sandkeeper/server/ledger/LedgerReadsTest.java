package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.JooqTransactions;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jooq.DSLContext;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: what a call reads does not grow with the books. Method: plans are made while the tables are
// empty, and kept; then what is read is counted, by the database itself, while there is little and
// while there is much.
final class LedgerReadsTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final int FEW = 20;
  private static final int MANY = 400;
  private static final int SPENDERS = 8;
  private static final long ENOUGH = 100_000_000;
  private static final byte[] HASH = new byte[32];

  // One connection: another would make its plans anew, and would not tell at once what it read.
  private final HikariDataSource pool = pool();
  private final Books books = new Books(new JooqTransactions(pool, new Random()));
  private final LlmSpend spend = books.spend(() -> NOON);

  private static HikariDataSource pool() {
    Map<String, String> environment = database.environment();
    HikariConfig config = new HikariConfig();
    config.setJdbcUrl(environment.get("SANDKEEPER_DATABASE_URL"));
    config.setUsername(environment.get("SANDKEEPER_DATABASE_SERVER_USER"));
    config.setPassword(environment.get("SANDKEEPER_DATABASE_SERVER_PASSWORD"));
    config.setMaximumPoolSize(1);
    return new HikariDataSource(config);
  }

  @AfterEach
  void close() {
    pool.close();
  }

  @Test
  void sandboxesReadAsMuchHoweverManyThereWere() {
    assertReadsStay(tenant -> {
      Books.Wish wish = books.wish(tenant);
      SandboxId sandbox = books.run(wish, NOON);
      ExecutionId execution = books.execute(tenant, sandbox, NOON.plusSeconds(1));
      books.extend(sandbox, NOON.plusSeconds(10));
      var _ = books.executionCost(execution, NOON.plusSeconds(11));
      books.settle(sandbox, NOON.plusSeconds(20));
    });
  }

  @Test
  void sandboxesThatAreDeniedReadAsMuchHoweverManyThereWere() {
    assertReadsStay(tenant -> {
      Books.Wish wish = books.wish(tenant, "standard", 8, 1_000_000);
      assertThat(books.admit(wish, NOON)).isInstanceOf(Admission.Denied.class);
    });
  }

  @Test
  void spendsReadAsMuchHoweverManyThereWere() {
    assertReadsStay(tenant -> {
      try (ExecutorService spenders = Executors.newVirtualThreadPerTaskExecutor()) {
        Callable<Object> spend = Executors.callable(() -> spend(tenant));
        for (Future<Object> spent : spenders.invokeAll(Collections.nCopies(SPENDERS, spend))) {
          var _ = spent.get();
        }
      } catch (InterruptedException | ExecutionException e) {
        throw new IllegalStateException(e);
      }
    });
  }

  private void spend(TenantId tenant) {
    LlmHold hold =
        spend.reserve(
            new LlmReservation(
                tenant,
                new RequestKey(UUID.randomUUID(), HASH),
                Books.attribution(null, "user", "conversation", null),
                new LlmCost.Amount(new NanoUsd(1000), ""),
                Duration.ofMinutes(10)));
    var _ =
        spend.end(
            new LlmSettlement(
                tenant,
                Optional.empty(),
                hold.holdId(),
                Optional.of(new LlmCost.Amount(new NanoUsd(900), ""))));
  }

  /** Each use is by a tenant of its own, so that limits and counters grow in number, too. */
  private void assertReadsStay(Consumer<TenantId> use) {
    reads(FEW, use);
    long few = reads(FEW, use);
    reads(MANY, use);
    assertThat(reads(FEW, use)).isLessThan(2 * few);
  }

  private long reads(int times, Consumer<TenantId> use) {
    List<TenantId> tenants = Stream.generate(books::tenant).limit(times).toList();
    tenants.forEach(tenant -> books.limit(tenant, LimitPeriod.DAY, ENOUGH, NOON));
    long before = rowsRead();
    tenants.forEach(use);
    return rowsRead() - before;
  }

  private long rowsRead() {
    DSLContext context = books.transactions.context();
    context.execute("select pg_stat_force_next_flush()");
    return context
        .fetchSingle(
            "select (select sum(seq_tup_read) from pg_stat_user_tables)"
                + " + (select sum(idx_tup_read) from pg_stat_user_indexes)")
        .get(0, Long.class);
  }
}
