package dev.sandkeeper.client;

import dev.sandkeeper.v1.LimitPeriod;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A start that was refused because a limit has not enough money left. Nothing was started or
 * booked.
 */
public final class QuotaExceededException extends SandkeeperException {
  private static final long serialVersionUID = 1L;
  private static final String REASON = "QUOTA_EXCEEDED";
  private static final int NANO_DIGITS = 9;

  private final String limitId;
  private final LimitPeriod period;
  private final long remainingNanoUsd;
  private final long neededNanoUsd;
  private final @Nullable Instant resetTime;

  private QuotaExceededException(
      Failure failure,
      String limitId,
      LimitPeriod period,
      long remainingNanoUsd,
      long neededNanoUsd,
      @Nullable Instant resetTime,
      @Nullable Throwable cause) {
    super(failure, cause);
    this.limitId = limitId;
    this.period = period;
    this.remainingNanoUsd = remainingNanoUsd;
    this.neededNanoUsd = neededNanoUsd;
    this.resetTime = resetTime;
  }

  /** Reads the figures; empty when the failure is another one or lacks them. */
  static Optional<SandkeeperException> of(Failure failure, @Nullable Throwable cause) {
    if (!failure.reason().equals(REASON)) {
      return Optional.empty();
    }
    try {
      String reset = failure.metadata().get("resetTime");
      return Optional.of(
          new QuotaExceededException(
              failure,
              failure.metadata().getOrDefault("limitId", ""),
              LimitPeriod.valueOf("LIMIT_PERIOD_" + failure.metadata().get("period")),
              Long.parseLong(failure.metadata().getOrDefault("remainingNanoUsd", "")),
              Long.parseLong(failure.metadata().getOrDefault("neededNanoUsd", "")),
              reset == null ? null : Instant.parse(reset),
              cause));
    } catch (IllegalArgumentException | DateTimeParseException e) {
      return Optional.empty(); // a server that says it in another way; the metadata still has it
    }
  }

  /** Returns the id of the limit that has not enough left. */
  public String limitId() {
    return limitId;
  }

  /** Returns the period that the limit counts in. */
  public LimitPeriod period() {
    return period;
  }

  /** Returns what is left of the limit, in nano-USD (1 USD is 1,000,000,000); 0 or more. */
  public long remainingNanoUsd() {
    return remainingNanoUsd;
  }

  /** Returns what is left of the limit, in USD, exactly. */
  public BigDecimal remainingUsd() {
    return BigDecimal.valueOf(remainingNanoUsd, NANO_DIGITS);
  }

  /** Returns what the start would have needed, in nano-USD. */
  public long neededNanoUsd() {
    return neededNanoUsd;
  }

  /** Returns what the start would have needed, in USD, exactly. */
  public BigDecimal neededUsd() {
    return BigDecimal.valueOf(neededNanoUsd, NANO_DIGITS);
  }

  /** Returns when the limit's next period begins; empty for a lifetime limit, which has none. */
  public Optional<Instant> resetTime() {
    return Optional.ofNullable(resetTime);
  }
}
