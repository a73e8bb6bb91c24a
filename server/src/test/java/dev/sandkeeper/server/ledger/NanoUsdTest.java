package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.math.BigDecimal;
import java.util.Random;
import org.junit.jupiter.api.Test;

// Goal: money is exact or refused. Method: laws over seeded random amounts, and the edges.
final class NanoUsdTest {
  private static final NanoUsd MOST = new NanoUsd(Long.MAX_VALUE);

  @Test
  void sumsAndDifferencesUndoEachOther() {
    Random random = new Random(7);
    for (int i = 0; i < 1000; i++) {
      NanoUsd one = new NanoUsd(random.nextLong() >> 2);
      NanoUsd other = new NanoUsd(random.nextLong() >> 2);

      assertThat(one.plus(other)).isEqualTo(other.plus(one));
      assertThat(one.plus(other).minus(other)).isEqualTo(one);
      assertThat(NanoUsd.ofUsd(one.toUsd())).isEqualTo(one);
      assertThat(one.compareTo(other)).isEqualTo(one.toUsd().compareTo(other.toUsd()));
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    assertThatThrownBy(() -> MOST.plus(new NanoUsd(1))).isInstanceOf(ArithmeticException.class);
    assertThatThrownBy(() -> new NanoUsd(Long.MIN_VALUE).minus(new NanoUsd(1)))
        .isInstanceOf(ArithmeticException.class);
    assertThatThrownBy(() -> NanoUsd.ofUsd(MOST.toUsd().add(BigDecimal.ONE)))
        .isInstanceOf(ArithmeticException.class);
    assertThatThrownBy(() -> NanoUsd.ofUsd(new BigDecimal("0.0000000001")))
        .isInstanceOf(ArithmeticException.class);
  }

  @Test
  void isShownInDollars() {
    assertThat(new NanoUsd(30_250)).hasToString("0.000030250 USD");
    assertThat(NanoUsd.ofUsd(new BigDecimal("1.5")).value()).isEqualTo(1_500_000_000);
  }
}
