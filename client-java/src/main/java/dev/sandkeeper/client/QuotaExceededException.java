package dev.sandkeeper.client;

import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.LimitResource;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A start that was refused because a limit has not enough left. Nothing was started or booked. */
public final class QuotaExceededException extends SandkeeperException {
  private static final long serialVersionUID = 1L;
  private static final String REASON = "QUOTA_EXCEEDED";
  private static final int NANO_DIGITS = 9;

  private final String limitId;
  private final LimitPeriod period;
  private final LimitResource resource;
  private final long remaining;
  private final long needed;
  private final @Nullable Instant resetTime;

  private QuotaExceededException(
      Failure failure,
      String limitId,
      LimitPeriod period,
      LimitResource resource,
      long remaining,
      long needed,
      @Nullable Instant resetTime,
      @Nullable Throwable cause) {
    super(failure, cause);
    this.limitId = limitId;
    this.period = period;
    this.resource = resource;
    this.remaining = remaining;
    this.needed = needed;
    this.resetTime = resetTime;
  }

  /** Reads the figures; empty when the failure is another one or lacks them. */
  static Optional<SandkeeperException> of(Failure failure, @Nullable Throwable cause) {
    if (!failure.reason().equals(REASON)) {
      return Optional.empty();
    }
    try {
      Map<String, String> figures = failure.metadata();
      String unit = figures.containsKey("remainingNanoUsd") ? "NanoUsd" : "";
      String reset = figures.get("resetTime");
      return Optional.of(
          new QuotaExceededException(
              failure,
              figures.getOrDefault("limitId", ""),
              LimitPeriod.valueOf("LIMIT_PERIOD_" + figures.get("period")),
              LimitResource.valueOf(
                  "LIMIT_RESOURCE_" + figures.getOrDefault("resource", "ALL_SPEND")),
              Long.parseLong(figures.getOrDefault("remaining" + unit, "")),
              Long.parseLong(figures.getOrDefault("needed" + unit, "")),
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

  /** Returns what the limit limits. */
  public LimitResource resource() {
    return resource;
  }

  /**
   * Returns what is left of the limit, 0 or more: for money in nano-USD (1 USD is 1,000,000,000),
   * else sandboxes, cores or MiB.
   */
  public long remaining() {
    return remaining;
  }

  /** Returns what the start would have needed, in the unit of {@link #remaining}. */
  public long needed() {
    return needed;
  }

  /** Returns what is left of a limit of money, in USD, exactly. */
  public BigDecimal remainingUsd() {
    return BigDecimal.valueOf(remaining, NANO_DIGITS);
  }

  /** Returns what the start would have needed of a limit of money, in USD, exactly. */
  public BigDecimal neededUsd() {
    return BigDecimal.valueOf(needed, NANO_DIGITS);
  }

  /** Returns when the limit's next period begins; empty for one that has none. */
  public Optional<Instant> resetTime() {
    return Optional.ofNullable(resetTime);
  }
}
