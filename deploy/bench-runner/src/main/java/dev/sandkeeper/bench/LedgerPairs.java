package dev.sandkeeper.bench;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.LimitScope;
import dev.sandkeeper.server.ledger.LlmSpend;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

/**
 * How many pairs of reserve and settle the ledger books in a second, each durable before it is
 * answered, with its cost record; raw: single rows inserted by as many callers, each with a
 * connection of its own.
 *
 * @param name of the row
 * @param callers at once
 * @param tenants among whom they spread
 * @param scopes that have a limit beside the tenant's
 * @param replicas how many servers share the callers
 * @param slowDisk whether each commit waits a millisecond, as on a cloud's disk
 * @param floor of the ratio
 */
record LedgerPairs(
    String name,
    int callers,
    int tenants,
    List<LimitScope> scopes,
    int replicas,
    boolean slowDisk,
    double floor)
    implements Row {
  private static final Duration SLICE = Duration.ofSeconds(1);
  private static final int WARM_UP = 15;
  private static final int LEAST_RUNS = 10;

  static LedgerPairs hot(String name, int callers, List<LimitScope> scopes, double floor) {
    return new LedgerPairs(name, callers, 1, scopes, 1, false, floor);
  }

  @Override
  public Spec spec() {
    return new Spec(name, "1/s", Better.HIGHER, Floor.ratio(floor), WARM_UP, LEAST_RUNS);
  }

  @Override
  public Runs start(Lab lab) throws IOException {
    LedgerLab ledger = lab.openLedger();
    if (slowDisk) {
      ledger.sql("alter system set commit_delay = 1000");
      ledger.sql("alter system set commit_siblings = 0");
      ledger.sql("select pg_reload_conf()");
    }
    List<TenantId> payers =
        IntStream.range(0, tenants).mapToObj(i -> ledger.tenant("t-" + i, scopes)).toList();
    List<LlmSpend> servers = new ArrayList<>(List.of(ledger.spend()));
    while (servers.size() < replicas) {
      servers.add(ledger.anotherSpend());
    }
    List<Connection> connections =
        IntStream.range(0, callers).mapToObj(_ -> ledger.connect()).toList();
    return Runs.of(
        () ->
            rate((caller, count) ->
                LedgerLab.pair(
                    servers.get(caller % replicas),
                    payers.get((caller + count * callers) % tenants))),
        () -> rate((caller, _) -> insert(connections.get(caller))));
  }

  /** One operation of a caller. */
  private interface Operation {
    void run(int caller, int count) throws SQLException;
  }

  private double rate(Operation operation) throws InterruptedException {
    CyclicBarrier barrier = new CyclicBarrier(callers + 1);
    AtomicBoolean over = new AtomicBoolean();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<Integer>> counts = new ArrayList<>();
      for (int i = 0; i < callers; i++) {
        int caller = i;
        counts.add(
            executor.submit(() -> {
              barrier.await();
              int count = 0;
              while (!over.get()) {
                operation.run(caller, count++);
              }
              return count;
            }));
      }
      barrier.await();
      long start = System.nanoTime();
      Thread.sleep(SLICE);
      over.set(true);
      int sum = 0;
      for (Future<Integer> count : counts) {
        sum += count.get();
      }
      return sum / Timing.secondsSince(start);
    } catch (ExecutionException | BrokenBarrierException e) {
      throw new BenchException(String.valueOf(e.getMessage()));
    }
  }

  private static void insert(Connection connection) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement("insert into raw_insert (a) values (?)")) {
      statement.setLong(1, 1);
      statement.executeUpdate();
    }
  }
}
