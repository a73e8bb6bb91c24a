package dev.sandkeeper.server.ledger;

/** A span of time that a limit counts in; all begin at UTC. Shortest first. */
public enum LimitPeriod {
  /** From each full hour. */
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
