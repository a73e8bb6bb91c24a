package dev.sandkeeper.server.ledger;

/** What a price is multiplied with. */
public enum PriceBasis {
  /** The cores and the memory that the sandbox was given, used or not. */
  ALLOCATED,
  /** The processor time and the memory that were measured; what was not measured, as allocated. */
  MEASURED
}
