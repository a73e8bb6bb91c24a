package dev.sandkeeper.client.tour;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Timestamp;
import dev.sandkeeper.v1.LimitPeriod;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Runs, as all tests do, in a strange time zone and locale. */
class TextTest {
  @ParameterizedTest
  @CsvSource({
    "0, 0.000000000",
    "1, 0.000000001",
    "-1, -0.000000001",
    "1000000000, 1.000000000",
    "9223372036854775807, 9223372036.854775807"
  })
  void moneyIsExact(long nanoUsd, String text) {
    assertThat(Text.usd(nanoUsd)).isEqualTo(text);
  }

  @Test
  void timesDoNotDependOnTheMachine() {
    Timestamp time = Timestamp.newBuilder().setSeconds(1_767_225_599).setNanos(250_000_000).build();
    assertThat(Text.time(time)).isEqualTo("23:59:59.250");
    assertThat(Text.dateTime(time)).isEqualTo("2025-12-31 23:59 UTC");
    assertThat(Text.seconds(Duration.ofMillis(1500))).isEqualTo("1.500 s");
    assertThat(Text.word(LimitPeriod.LIMIT_PERIOD_LIFETIME, "LIMIT_PERIOD_")).isEqualTo("lifetime");
  }

  @Test
  void columnsAreAsWideAsTheirWidestCell() {
    assertThat(Text.table(List.of(List.of("a", "long"), List.of("wider", "b"))))
        .containsExactly("    a      long", "    wider  b");
  }
}
