package dev.sandkeeper.server.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.jooq.DSLContext;
import org.jooq.exception.DataAccessException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.postgresql.ds.PGSimpleDataSource;

// Goal: work is committed whole or not at all, lost races are run again, and a database that is
// away
// is told apart from a bug.
final class JooqTransactionsTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private final JooqTransactions transactions = database.transactions();

  @BeforeEach
  void makeTable() {
    DSLContext owner = database.ownerContext();
    owner.execute("drop table if exists counter");
    owner.execute("create table counter (id int primary key, value int not null)");
    owner.execute("insert into counter values (1, 0), (2, 0)");
    owner.execute("grant select, update on counter to sandkeeper_server");
  }

  @Test
  void workThatReturnsIsCommitted() {
    int changed =
        transactions.call(transaction ->
            JooqTransaction.contextOf(transaction)
                .execute("update counter set value = 7 where id = 1"));

    assertThat(changed).isEqualTo(1);
    assertThat(value(1)).isEqualTo(7);
  }

  @Test
  void workThatThrowsLeavesNothing() {
    SandkeeperException refusal = SandkeeperException.of(ErrorReason.QUOTA_EXCEEDED, "No.");

    assertThatThrownBy(() ->
            transactions.run(transaction -> {
              JooqTransaction.contextOf(transaction)
                  .execute("update counter set value = 7 where id = 1");
              throw refusal;
            }))
        .isSameAs(refusal);
    assertThat(value(1)).isZero();
  }

  @Test
  void deadlockIsRunAgain() throws Exception {
    CountDownLatch bothHoldOne = new CountDownLatch(2);
    AtomicInteger runs = new AtomicInteger();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<?> forward = executor.submit(() -> addInOrder(1, 2, bothHoldOne, runs));
      Future<?> backward = executor.submit(() -> addInOrder(2, 1, bothHoldOne, runs));
      forward.get();
      backward.get();
    }

    assertThat(value(1)).isEqualTo(2);
    assertThat(value(2)).isEqualTo(2);
    assertThat(runs).hasValueGreaterThan(2);
  }

  @Test
  void raceThatIsNeverWonIsToldTheCaller() {
    AtomicInteger runs = new AtomicInteger();

    assertThatThrownBy(() ->
            transactions.run(transaction -> {
              runs.incrementAndGet();
              JooqTransaction.contextOf(transaction)
                  .execute("do $$ begin raise exception using errcode = '40001'; end $$");
            }))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> {
              assertThat(e.reason()).isEqualTo(ErrorReason.CONCURRENT_CHANGE);
              assertThat(e.retryDelay()).isPresent();
            });
    assertThat(runs).hasValue(5);
  }

  @Test
  void connectionLostInsideIsUnavailable() {
    assertThatThrownBy(() ->
            transactions.run(transaction ->
                JooqTransaction.contextOf(transaction)
                    .execute("select pg_terminate_backend(pg_backend_pid())")))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.DATABASE_UNAVAILABLE));
  }

  @Test
  void databaseThatIsAwayIsUnavailable() throws Exception {
    PGSimpleDataSource away = new PGSimpleDataSource();
    away.setURL("jdbc:postgresql://127.0.0.1:" + closedPort() + "/none");
    HikariConfig config = new HikariConfig();
    config.setDataSource(away);
    config.setConnectionTimeout(250);
    config.setInitializationFailTimeout(-1);
    try (HikariDataSource pool = new HikariDataSource(config)) {
      JooqTransactions unreachable = new JooqTransactions(pool, new Random());

      assertThatThrownBy(() -> unreachable.run(_ -> {}))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.reason()).isEqualTo(ErrorReason.DATABASE_UNAVAILABLE));
      assertThatThrownBy(() -> unreachable.context().selectOne().fetch())
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.reason()).isEqualTo(ErrorReason.DATABASE_UNAVAILABLE));
    }
  }

  @Test
  void connectionLostOutsideIsUnavailable() {
    assertThatThrownBy(
            () -> transactions.context().execute("select pg_terminate_backend(pg_backend_pid())"))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> assertThat(e.reason()).isEqualTo(ErrorReason.DATABASE_UNAVAILABLE));
  }

  @Test
  void brokenConstraintIsNamed() {
    assertThatThrownBy(() -> database.ownerContext().execute("insert into counter values (1, 0)"))
        .isInstanceOfSatisfying(
            DataAccessException.class,
            e -> assertThat(StoreErrors.constraint(e)).hasValue("counter_pkey"));
  }

  @Test
  void transactionOfAnotherStoreIsRefused() {
    assertThatThrownBy(() -> JooqTransaction.contextOf(new Transaction() {}))
        .isInstanceOf(IllegalArgumentException.class);
  }

  private void addInOrder(int first, int second, CountDownLatch bothHoldOne, AtomicInteger runs) {
    transactions.run(transaction -> {
      runs.incrementAndGet();
      DSLContext context = JooqTransaction.contextOf(transaction);
      context.execute("update counter set value = value + 1 where id = ?", first);
      bothHoldOne.countDown();
      awaitUninterrupted(bothHoldOne);
      context.execute("update counter set value = value + 1 where id = ?", second);
    });
  }

  private static void awaitUninterrupted(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  private static int value(int id) {
    return database
        .context()
        .fetchSingle("select value from counter where id = ?", id)
        .get(0, Integer.class);
  }

  private static int closedPort() throws Exception {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.ofLiteral("127.0.0.1"))) {
      return socket.getLocalPort();
    }
  }
}
