package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Instant;
import java.util.Optional;

/**
 * Which limit refused; of several, the one that resets last. Nothing has changed.
 *
 * @param limitId the limit
 * @param scope its scope
 * @param scopeId which organisation, user, conversation or agent; empty for the tenant
 * @param resource what it limits
 * @param period its period
 * @param remaining what is left of it, in the resource's unit
 * @param needed what would have been used of it, in the resource's unit
 * @param resetTime when its next period begins; empty for one that never resets
 */
public record Refusal(
    String limitId,
    LimitScope scope,
    String scopeId,
    LimitResource resource,
    LimitPeriod period,
    long remaining,
    long needed,
    Optional<Instant> resetTime) {

  /** Returns what the caller is told. */
  public SandkeeperException asException() {
    String unit = resource.isMoney() ? "NanoUsd" : "";
    SandkeeperException exception =
        SandkeeperException.of(
                ErrorReason.QUOTA_EXCEEDED,
                resource.isMoney()
                    ? "A limit has not enough left to set aside what this may cost; raise it or wait for its reset."
                    : "A limit has no place left; raise it, or wait until others end or it resets.")
            .with("limitId", limitId)
            .with("scope", scope)
            .with("resource", resource)
            .with("period", period)
            .with("remaining" + unit, remaining)
            .with("needed" + unit, needed);
    if (!scopeId.isEmpty()) {
      exception = exception.with("scopeId", scopeId);
    }
    return resetTime.isPresent() ? exception.with("resetTime", resetTime.get()) : exception;
  }
}
