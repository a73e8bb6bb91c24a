package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

// Goal: tasks that block hold up no other, also delayed ones, and closing waits for nothing that is
// not due.
@Timeout(30)
final class VirtualThreadExecutorTest {
  private static final int TASKS = 200;

  @Test
  void tasksThatWaitForEachOtherAllRun() throws Exception {
    CountDownLatch all = new CountDownLatch(2 * TASKS);
    try (VirtualThreadExecutor executor = new VirtualThreadExecutor()) {
      for (int i = 0; i < TASKS; i++) {
        executor.execute(() -> meet(all));
        var _ = executor.schedule(() -> meet(all), 1, TimeUnit.MILLISECONDS);
      }

      assertThat(all.await(20, TimeUnit.SECONDS)).isTrue();
    }
  }

  @Test
  void closingDropsWhatIsNotDue() {
    AtomicBoolean ran = new AtomicBoolean();
    VirtualThreadExecutor executor = new VirtualThreadExecutor();
    Future<?> later = executor.schedule(() -> ran.set(true), 1, TimeUnit.HOURS);

    executor.close();

    assertThat(later.isCancelled()).isTrue();
    assertThat(ran).isFalse();
  }

  private static void meet(CountDownLatch all) {
    all.countDown();
    try {
      all.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
