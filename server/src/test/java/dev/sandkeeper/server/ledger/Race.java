package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

/**
 * What came of callers that started from one barrier while an observer sampled the counters.
 *
 * @param answers of each caller
 * @param mostUsed the most that the observer saw spent and reserved of one limit, in nano-USD
 * @param observations how often it looked
 */
record Race(List<Object> answers, long mostUsed, int observations) {

  interface Caller {
    Object call(int number) throws Exception;
  }

  private record Seen(long mostUsed, int observations) {}

  /**
   * Runs the callers from a barrier, and beside them the observer.
   *
   * @param tenant whose limit the observer looks at
   */
  static Race run(DatabaseExtension database, TenantId tenant, int callers, Caller caller)
      throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(callers + 1);
    AtomicBoolean over = new AtomicBoolean();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<Object>> futures =
          IntStream.range(0, callers)
              .mapToObj(i ->
                  executor.submit(
                      (Callable<Object>)
                          () -> {
                            barrier.await();
                            return caller.call(i);
                          }))
              .toList();
      Future<Seen> observer =
          executor.submit(() -> {
            barrier.await();
            long most = 0;
            int count = 0;
            do {
              most = Math.max(most, used(database, tenant));
              count++;
            } while (!over.get());
            return new Seen(Math.max(most, used(database, tenant)), count);
          });
      List<Object> answers = new ArrayList<>();
      try {
        for (Future<Object> future : futures) {
          answers.add(future.get());
        }
      } catch (ExecutionException e) {
        throw new AssertionError(e.getCause());
      } finally {
        over.set(true);
      }
      Seen seen = observer.get();
      return new Race(answers, seen.mostUsed(), seen.observations());
    }
  }

  private static long used(DatabaseExtension database, TenantId tenant) {
    return database
        .context()
        .resultQuery(
            "select coalesce(max(q.spent + q.reserved), 0) from quota_period q"
                + " join quota_limit l using (limit_id) where l.tenant_id = ?",
            tenant.value())
        .fetchSingle()
        .get(0, Long.class);
  }
}
