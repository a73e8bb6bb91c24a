package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;

/** The limits: how much each scope may use in a period. What no limit applies to is unlimited. */
public final class Limits {
  /** The highest amount: as money, a thousand million USD. */
  public static final long MAX_AMOUNT = 1_000_000_000_000_000_000L;

  /** How many limits a tenant may have. */
  public static final long MAX_LIMITS = 100_000;

  private static final int MAX_THRESHOLDS = 10;

  private final LimitRepository repository;

  /** Makes the limits. */
  public Limits(LimitRepository repository) {
    this.repository = repository;
  }

  /**
   * Sets a limit, or changes the amount, enforcement and thresholds of the one that its scope,
   * resource and period have. A new one starts from what the period's records hold and takes over
   * the open holds. Lowered below what is used, it admits nothing new, and leases run out.
   *
   * @throws SandkeeperException with {@link ErrorReason#INVALID_FIELD}, {@link
   *     ErrorReason#TENANT_NOT_FOUND}, {@link ErrorReason#ALREADY_EXISTS} when there is one in
   *     another zone, {@link ErrorReason#TOO_MANY_LIMITS} past {@link #MAX_LIMITS}
   */
  public Limit set(Transaction transaction, LimitSpec spec, Instant now) {
    List<FieldViolation> violations = violations(spec);
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
    return switch (repository.set(transaction, spec, MAX_LIMITS, now)) {
      case LimitRepository.Setting.Set set -> set.limit();
      case LimitRepository.Setting.OtherZone other ->
          throw SandkeeperException.of(
                  ErrorReason.ALREADY_EXISTS,
                  "The scope has a limit for the resource and period in another zone, which cannot change; delete it first.")
              .with("limitId", other.limitId())
              .with("zone", other.zone());
      case LimitRepository.Setting.UnknownZone _ ->
          throw SandkeeperException.invalidFields(List.of(unknownZone(spec)));
      case LimitRepository.Setting.TooMany _ ->
          throw SandkeeperException.of(
                  ErrorReason.TOO_MANY_LIMITS,
                  "The tenant has as many limits as it may have; delete some.")
              .with("maxLimits", MAX_LIMITS);
      case LimitRepository.Setting.NoTenant _ ->
          throw SandkeeperException.of(ErrorReason.TENANT_NOT_FOUND, "There is no such tenant.")
              .with("tenantId", spec.tenantId());
    };
  }

  /**
   * Deletes a limit with its counters; what was booked stays booked.
   *
   * @throws SandkeeperException with {@link ErrorReason#LIMIT_NOT_FOUND}
   */
  public void delete(Transaction transaction, String limitId) {
    if (!repository.delete(transaction, limitId)) {
      throw notFound(limitId);
    }
  }

  /**
   * Returns a limit.
   *
   * @throws SandkeeperException with {@link ErrorReason#LIMIT_NOT_FOUND}
   */
  public Limit get(String limitId) {
    return repository.find(limitId).orElseThrow(() -> notFound(limitId));
  }

  /** Returns a page of limits, newest first. */
  public Page<Limit> list(LimitQuery query, Page.Request page) {
    return repository.list(query, page);
  }

  /** Returns what is left now of each limit of a page, newest first. */
  public Page<QuotaStatus> quota(LimitQuery query, Page.Request page, Instant now) {
    return repository.quota(query, page, now);
  }

  private static List<FieldViolation> violations(LimitSpec spec) {
    List<FieldViolation> violations = new ArrayList<>();
    if (spec.amount() < 0 || spec.amount() > MAX_AMOUNT) {
      violations.add(
          new FieldViolation(
              spec.resource().isMoney() ? "amount_nano_usd" : "amount",
              spec.amount() + " (expected: 0 to " + MAX_AMOUNT + ")"));
    }
    if ((spec.scope() == LimitScope.TENANT) != spec.scopeId().isEmpty()) {
      violations.add(
          new FieldViolation(
              "scope_id",
              "'"
                  + spec.scopeId()
                  + "' (expected: the id of the scope; none for the tenant's own)"));
    }
    if (spec.resource().isConcurrent() && spec.period() != LimitPeriod.LIFETIME) {
      violations.add(
          new FieldViolation(
              "period", spec.period() + " (expected: none, as what is in use at once has none)"));
    }
    if (spec.period() == LimitPeriod.MINUTE && spec.resource() != LimitResource.SANDBOX_CREATES) {
      violations.add(
          new FieldViolation("period", "MINUTE (expected: HOUR or longer; only creates may)"));
    }
    if (!ZoneId.getAvailableZoneIds().contains(spec.zone())) {
      violations.add(unknownZone(spec));
    }
    checkThresholds(spec, violations);
    return violations;
  }

  private static void checkThresholds(LimitSpec spec, List<FieldViolation> violations) {
    List<Integer> thresholds = spec.thresholds();
    if (thresholds.size() > MAX_THRESHOLDS
        || thresholds.stream().anyMatch(percent -> percent < 1 || percent > 100)
        || thresholds.stream().distinct().count() < thresholds.size()) {
      violations.add(
          new FieldViolation(
              "thresholds",
              thresholds + " (expected: at most 10 percentages, 1 to 100, no two the same)"));
    } else if (!thresholds.isEmpty() && spec.resource().isConcurrent()) {
      violations.add(
          new FieldViolation(
              "thresholds",
              thresholds + " (expected: none, as what is in use at once has no period)"));
    }
  }

  private static FieldViolation unknownZone(LimitSpec spec) {
    return new FieldViolation(
        "zone", spec.zone() + " (expected: an IANA time zone such as Europe/Berlin)");
  }

  private static SandkeeperException notFound(String limitId) {
    return SandkeeperException.of(ErrorReason.LIMIT_NOT_FOUND, "There is no such limit.")
        .with("limitId", limitId);
  }
}
