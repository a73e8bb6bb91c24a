package dev.sandkeeper.server.ledger;

/** A span of time that a limit counts in, by the clocks of its zone. Shortest first. */
public enum LimitPeriod {
  /** From each full minute; for the creation of sandboxes only. */
  MINUTE,
  /** Hours since midnight. */
  HOUR,
  /** From each midnight. */
  DAY,
  /** From each Monday's midnight. */
  WEEK,
  /** From the first of each month. */
  MONTH,
  /** Never ends. */
  LIFETIME
}
