package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** The price book: what each tier costs, and since when. Versions never change or overlap. */
public final class Prices {
  /** The tiers that a template may be of. */
  public static final Set<String> TIERS = Set.of("standard", "high-memory", "gpu");

  private static final BigDecimal MAX_RATE = new BigDecimal(1000);
  private static final int MAX_SCALE = 18;

  private final PriceRepository repository;
  private final LedgerSettings settings;

  /** Makes the price book. */
  public Prices(PriceRepository repository, LedgerSettings settings) {
    this.repository = repository;
    this.settings = settings;
  }

  /**
   * Adds a version of a tier's price; the one before it ends where it starts.
   *
   * @param pausedRates the rates of paused time, none above that of running time
   * @param startTime in force from then on, cut to whole milliseconds; empty for now
   * @throws SandkeeperException with {@link ErrorReason#INVALID_FIELD} for a wrong tier or rate,
   *     {@link ErrorReason#PRICE_START_REFUSED} when it starts before leases that may have been
   *     given at the old price end (a tier's first price may start now), {@link
   *     ErrorReason#ALREADY_EXISTS} when a version starts then or later
   */
  public Price create(
      Transaction transaction,
      String tier,
      PriceBasis basis,
      Rates rates,
      Rates pausedRates,
      Optional<Instant> startTime,
      Instant now) {
    check(tier, rates, pausedRates);
    PriceRepository.Creation creation =
        repository.create(
            transaction,
            tier,
            basis,
            rates,
            pausedRates,
            startTime.orElse(now),
            settings.priceLead(),
            now);
    return switch (creation) {
      case PriceRepository.Creation.Created created -> created.price();
      case PriceRepository.Creation.TooEarly tooEarly ->
          throw SandkeeperException.of(
                  ErrorReason.PRICE_START_REFUSED,
                  "The price must start after all leases at the old price have ended.")
              .with("tier", tier)
              .with("earliestStartTime", tooEarly.earliestStart());
      case PriceRepository.Creation.NotLast _ ->
          throw SandkeeperException.of(
                  ErrorReason.ALREADY_EXISTS,
                  "A price of the tier starts then or later; prices never change.")
              .with("tier", tier);
    };
  }

  /** Returns the versions by tier and start; of one tier, or of all when it is empty. */
  public List<Price> list(Optional<String> tier) {
    return repository.list(tier);
  }

  /**
   * Returns the price of a tier at a time.
   *
   * @throws SandkeeperException with {@link ErrorReason#PRICE_NOT_FOUND} when none is in force then
   */
  public Price get(String tier, Instant time) {
    return repository
        .find(tier, time)
        .orElseThrow(() ->
            SandkeeperException.of(
                    ErrorReason.PRICE_NOT_FOUND, "The tier has no price at that time.")
                .with("tier", tier)
                .with("time", time));
  }

  private static void check(String tier, Rates rates, Rates paused) {
    List<FieldViolation> violations = new ArrayList<>();
    if (!TIERS.contains(tier)) {
      violations.add(
          new FieldViolation("price.tier", tier + " (expected: standard, high-memory or gpu)"));
    }
    check("price.usd_per_second", rates.usdPerSecond(), violations);
    check("price.usd_per_core_second", rates.usdPerCoreSecond(), violations);
    check("price.usd_per_gib_second", rates.usdPerGibSecond(), violations);
    checkPaused("second", paused.usdPerSecond(), rates.usdPerSecond(), violations);
    checkPaused("core_second", paused.usdPerCoreSecond(), rates.usdPerCoreSecond(), violations);
    checkPaused("gib_second", paused.usdPerGibSecond(), rates.usdPerGibSecond(), violations);
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
  }

  /** What is held for running must pay for being paused. */
  private static void checkPaused(
      String unit, BigDecimal paused, BigDecimal running, List<FieldViolation> violations) {
    String field = "price.paused_usd_per_" + unit;
    check(field, paused, violations);
    // Of a running rate below 0 it is told already.
    if (paused.compareTo(running.max(BigDecimal.ZERO)) > 0) {
      violations.add(new FieldViolation(field, "(expected: at most usd_per_" + unit + ")"));
    }
  }

  private static void check(String field, BigDecimal rate, List<FieldViolation> violations) {
    if (rate.signum() < 0
        || rate.compareTo(MAX_RATE) > 0
        || rate.stripTrailingZeros().scale() > MAX_SCALE) {
      violations.add(
          new FieldViolation(
              field, "(expected: 0 to 1000 USD with at most 18 digits behind the point)"));
    }
  }
}
