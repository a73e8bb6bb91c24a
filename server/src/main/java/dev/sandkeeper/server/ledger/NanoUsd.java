package dev.sandkeeper.server.ledger;

import java.math.BigDecimal;
import java.math.RoundingMode;

/**
 * An amount of money in thousand-millionths of a US dollar, exact.
 *
 * @param value nano-USD; 1 USD is 1,000,000,000; all of long's range, ±9.22e9 USD
 */
public record NanoUsd(long value) implements Comparable<NanoUsd> {
  /** No money. */
  public static final NanoUsd ZERO = new NanoUsd(0);

  private static final int SCALE = 9;

  /**
   * Returns an amount of whole and broken dollars.
   *
   * @throws ArithmeticException when it is no whole number of nano-USD or out of range
   */
  public static NanoUsd ofUsd(BigDecimal usd) {
    return new NanoUsd(
        usd.setScale(SCALE, RoundingMode.UNNECESSARY).unscaledValue().longValueExact());
  }

  /**
   * Returns the sum.
   *
   * @throws ArithmeticException when it is out of range
   */
  public NanoUsd plus(NanoUsd other) {
    return new NanoUsd(Math.addExact(value, other.value));
  }

  /**
   * Returns the difference.
   *
   * @throws ArithmeticException when it is out of range
   */
  public NanoUsd minus(NanoUsd other) {
    return new NanoUsd(Math.subtractExact(value, other.value));
  }

  /** Returns the amount in dollars, with nine digits behind the point. */
  public BigDecimal toUsd() {
    return BigDecimal.valueOf(value, SCALE);
  }

  @Override
  public int compareTo(NanoUsd other) {
    return Long.compare(value, other.value);
  }

  /** Returns the amount in dollars, such as {@code 0.000030250 USD}. */
  @Override
  public String toString() {
    return toUsd().toPlainString() + " USD";
  }
}
