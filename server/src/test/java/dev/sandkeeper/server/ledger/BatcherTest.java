package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

class BatcherTest {
  private final List<List<Integer>> batches = Collections.synchronizedList(new ArrayList<>());

  @Test
  void oneCallerAloneIsDecidedAtOnceOnItsOwnThread() {
    Thread caller = Thread.currentThread();
    Batcher<Integer, Thread> batcher =
        new Batcher<>(items -> items.stream().map(_ -> Thread.currentThread()).toList());

    assertThat(batcher.ask(1)).isSameAs(caller);
  }

  @Test
  void whoeverComesWhileABatchIsInFlightIsDecidedTogetherInTheNext() throws Exception {
    CountDownLatch first = new CountDownLatch(1);
    Batcher<Integer, Integer> batcher =
        new Batcher<>(items -> {
          batches.add(items);
          if (items.contains(0)) {
            await(first);
          }
          return items.stream().map(i -> i * 10).toList();
        });
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<Integer> slow = executor.submit(() -> batcher.ask(0));
      Awaitility.await().until(() -> !batches.isEmpty());
      List<Future<Integer>> others =
          IntStream.rangeClosed(1, 20)
              .mapToObj(i -> executor.submit(() -> batcher.ask(i)))
              .toList();
      Awaitility.await().until(() -> batcher.waiting() == 20);
      first.countDown();

      assertThat(slow.get()).isZero();
      for (int i = 1; i <= 20; i++) {
        assertThat(others.get(i - 1).get()).isEqualTo(i * 10);
      }
    }
    assertThat(batches).extracting(List::size).containsExactly(1, 20);
  }

  @Test
  void secondBatchGoesBesideTheFirstOnceEnoughWait() throws Exception {
    CountDownLatch first = new CountDownLatch(1);
    Batcher<Integer, Integer> batcher =
        new Batcher<>(items -> {
          batches.add(items);
          if (items.contains(0)) {
            await(first);
          }
          return items;
        });
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<Integer> slow = executor.submit(() -> batcher.ask(0));
      Awaitility.await().until(() -> !batches.isEmpty());
      List<Future<Integer>> others =
          IntStream.range(1, Batcher.ENOUGH_FOR_A_SECOND)
              .mapToObj(i -> executor.submit(() -> batcher.ask(i)))
              .toList();
      Awaitility.await().until(() -> batcher.waiting() == others.size());
      assertThat(batches).hasSize(1);

      assertThat(batcher.ask(100)).isEqualTo(100);
      for (Future<Integer> other : others) {
        other.get();
      }
      assertThat(slow.isDone()).isFalse();
      first.countDown();
      assertThat(slow.get()).isZero();
    }
    assertThat(batches).extracting(List::size).containsExactly(1, Batcher.ENOUGH_FOR_A_SECOND);
  }

  @Test
  void whatIsWrongWithOneFailsNoOther() throws Exception {
    CountDownLatch first = new CountDownLatch(1);
    Batcher<Integer, Integer> batcher =
        new Batcher<>(items -> {
          batches.add(items);
          if (items.contains(0)) {
            await(first);
          }
          if (items.contains(13)) {
            throw new IllegalStateException("13");
          }
          return items;
        });
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<Integer> slow = executor.submit(() -> batcher.ask(0));
      Awaitility.await().until(() -> !batches.isEmpty());
      Future<Integer> good = executor.submit(() -> batcher.ask(12));
      Future<Integer> bad = executor.submit(() -> batcher.ask(13));
      Awaitility.await().until(() -> batcher.waiting() == 2);
      first.countDown();

      assertThat(slow.get()).isZero();
      assertThat(good.get()).isEqualTo(12);
      assertThatThrownBy(bad::get).hasRootCauseMessage("13");
    }
    assertThat(batcher.ask(14)).isEqualTo(14);
  }

  @Test
  void everyCallerOfManyIsAnswered() throws Exception {
    Batcher<Integer, Integer> batcher = new Batcher<>(items -> items);
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<Boolean>> callers =
          IntStream.range(0, 64)
              .mapToObj(c ->
                  executor.submit(() ->
                      IntStream.range(0, 2000)
                          .allMatch(i -> batcher.ask(c * 2000 + i) == c * 2000 + i)))
              .toList();
      for (Future<Boolean> caller : callers) {
        assertThat(caller.get()).isTrue();
      }
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }
}
