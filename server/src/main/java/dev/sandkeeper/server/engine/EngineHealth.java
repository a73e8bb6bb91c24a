package dev.sandkeeper.server.engine;

import java.time.Instant;
import java.util.Optional;

/**
 * How an engine is, as this server sees it.
 *
 * @param healthy whether its last check proved that it can work; true before the first one
 * @param breaker whether calls of it are let through
 * @param breakerSince since when
 * @param checkTime when it was last checked; empty before the first check
 * @param checkError why the last check failed, for operators; empty when it did not
 * @param starting how many sandboxes it is being asked to start
 * @param maxStarting how many at once at most
 */
public record EngineHealth(
    boolean healthy,
    Breaker breaker,
    Instant breakerSince,
    Optional<Instant> checkTime,
    Optional<String> checkError,
    int starting,
    int maxStarting) {

  /** Whether calls of an engine are let through. */
  public enum Breaker {
    /** All are. */
    CLOSED,
    /** None is: too many failed, or its check did. */
    OPEN,
    /** A few are, and decide. */
    HALF_OPEN
  }
}
