package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.TenantId;
import java.util.List;

/**
 * How much of a resource a scope may use in a period.
 *
 * @param tenantId the tenant of the scope
 * @param scope whose use it limits
 * @param scopeId which organisation, user, conversation or agent; empty for {@link
 *     LimitScope#TENANT}
 * @param resource what it limits
 * @param period the period; {@link LimitPeriod#LIFETIME} for what is in use at once
 * @param zone the IANA time zone in which periods begin
 * @param enforcement what it does when it is reached
 * @param amount the most in each period, in the resource's unit
 * @param thresholds percent of the amount at which a warning is given, once in each period,
 *     ascending
 */
public record LimitSpec(
    TenantId tenantId,
    LimitScope scope,
    String scopeId,
    LimitResource resource,
    LimitPeriod period,
    String zone,
    LimitEnforcement enforcement,
    long amount,
    List<Integer> thresholds) {
  /** The zone of a limit that names none. */
  public static final String UTC = "UTC";

  /** Sorts the thresholds. */
  public LimitSpec {
    thresholds = thresholds.stream().sorted().toList();
  }
}
