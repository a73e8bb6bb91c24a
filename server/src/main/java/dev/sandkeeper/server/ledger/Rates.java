package dev.sandkeeper.server.ledger;

import java.math.BigDecimal;

/**
 * What a tier costs: three rates that add up, in USD, each 0 to 1,000 with at most 18 digits behind
 * the point.
 *
 * @param usdPerSecond per second of running
 * @param usdPerCoreSecond per core and second
 * @param usdPerGibSecond per GiB (1,024 MiB) of memory and second
 */
public record Rates(
    BigDecimal usdPerSecond, BigDecimal usdPerCoreSecond, BigDecimal usdPerGibSecond) {

  /** Returns what paused time costs unless said otherwise: its memory, which stays in use. */
  public Rates ofPausedTime() {
    return new Rates(BigDecimal.ZERO, BigDecimal.ZERO, usdPerGibSecond);
  }
}
