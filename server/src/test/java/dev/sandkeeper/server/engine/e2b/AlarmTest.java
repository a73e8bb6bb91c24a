package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** That what is to be done is done, and once. */
class AlarmTest {
  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
  private final Alarm alarm = new Alarm(timer, "test");
  private final AtomicInteger calls = new AtomicInteger();

  @AfterEach
  void stop() {
    timer.shutdownNow();
  }

  @Test
  void whatFailsIsDoneAgain() {
    alarm.in(
        Duration.ZERO,
        () -> {
          if (calls.incrementAndGet() == 1) {
            throw new IllegalStateException("as the test wants it");
          }
        });

    await().atMost(15, TimeUnit.SECONDS).until(() -> calls.get() == 2);
  }

  @Test
  void whatIsPutOffIsDoneOnce() {
    alarm.in(Duration.ofMillis(100), calls::incrementAndGet);
    alarm.in(Duration.ofMillis(300), calls::incrementAndGet);

    await().until(() -> calls.get() == 1);
    await().during(Duration.ofMillis(300)).untilAsserted(() -> assertThat(calls).hasValue(1));
  }
}
