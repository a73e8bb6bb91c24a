package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

// Goal: how often a call is tried, and how long it waits between. Method: waits that are long
// enough to be told apart, and the least and the most of chance.
@Timeout(60)
final class RetriesTest {
  private static final E2bSettings.Calls CALLS =
      new E2bSettings.Calls(
          Duration.ofSeconds(1),
          Duration.ofSeconds(1),
          Duration.ofSeconds(30),
          4,
          Duration.ofMillis(100),
          Duration.ofMillis(700));

  /** Fails each time, and returns how long it waited before each further try. */
  private static List<Duration> waits(RandomGenerator random) {
    List<Long> times = new ArrayList<>();
    Retries retries = new Retries(CALLS, CALLS.whole(), random);
    assertThatThrownBy(() ->
            retries.run(
                "a call",
                _ -> {
                  times.add(System.nanoTime());
                  throw E2bException.broken("no");
                },
                _ -> true))
        .isInstanceOf(E2bException.class);
    List<Duration> waits = new ArrayList<>();
    for (int i = 1; i < times.size(); i++) {
      waits.add(Duration.ofNanos(times.get(i) - times.get(i - 1)));
    }
    return waits;
  }

  private static void assertWaits(List<Duration> waits, long... leastMillis) {
    assertThat(waits).hasSize(leastMillis.length);
    for (int i = 0; i < leastMillis.length; i++) {
      assertThat(waits.get(i)).isGreaterThanOrEqualTo(Duration.ofMillis(leastMillis[i] - 1));
    }
  }

  @Test
  void waitsDoubleAndAreSpread() {
    assertWaits(waits(() -> 0), 100, 200, 400);
    assertWaits(waits(new Most()), 200, 400, 700);
  }

  @Test
  void whatAnyTryMayHaveDoneMayBeDone() {
    Retries retries = new Retries(CALLS, CALLS.whole(), () -> 0);
    AtomicInteger tries = new AtomicInteger();

    assertThatExceptionOfType(E2bException.class)
        .isThrownBy(() ->
            retries.run(
                "a call",
                _ -> {
                  throw tries.getAndIncrement() == 0
                      ? E2bException.broken("half an answer")
                      : E2bException.answered(
                          E2bException.Kind.UNAVAILABLE, 503, "", null, "not now");
                },
                _ -> true))
        .withMessage("not now")
        .matches(E2bException::mayBeDone)
        .matches(e -> e.status() == 503);
    assertThat(tries).hasValue(CALLS.tries());
  }

  @Test
  void threeTriesOneToTenSecondsApart() {
    assertThat(E2bSettings.Calls.DEFAULT.tries()).isEqualTo(3);
    assertThat(E2bSettings.Calls.DEFAULT.firstWait()).isEqualTo(Duration.ofSeconds(1));
    assertThat(E2bSettings.Calls.DEFAULT.longestWait()).isEqualTo(Duration.ofSeconds(10));
  }

  /** Always the most that there may be. */
  private static final class Most implements RandomGenerator {
    @Override
    public long nextLong() {
      return Long.MAX_VALUE;
    }

    @Override
    public long nextLong(long bound) {
      return bound - 1;
    }
  }
}
