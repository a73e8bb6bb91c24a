package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.ledger.CostEstimate;
import dev.sandkeeper.server.ledger.Ledger;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalInt;

/** Says what a sandbox would cost before there is one. */
public final class CostEstimator {
  private final TemplateRepository templates;
  private final Ledger ledger;
  private final BillingClock clock;

  /** Makes the estimator. */
  public CostEstimator(TemplateRepository templates, Ledger ledger, BillingClock clock) {
    this.templates = templates;
    this.ledger = ledger;
    this.clock = clock;
  }

  /**
   * Estimates a sandbox that is created now; what is empty takes the template's default.
   *
   * @throws SandkeeperException with {@link ErrorReason#TEMPLATE_NOT_FOUND}, {@link
   *     ErrorReason#INVALID_FIELD} for more or less than the template allows, or {@link
   *     ErrorReason#NO_PRICE_FOR_TIER}
   */
  public CostEstimate estimate(
      String template, OptionalInt cpuCores, OptionalInt memoryMib, Optional<Duration> timeout) {
    Allocation allocation = Allocation.of(templates, template, cpuCores, memoryMib, timeout);
    return ledger.estimate(
        allocation.template().tier(),
        allocation.cpuCores(),
        allocation.memoryMib(),
        allocation.timeout(),
        clock.now());
  }
}
