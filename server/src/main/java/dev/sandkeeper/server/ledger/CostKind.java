package dev.sandkeeper.server.ledger;

/** What a cost record is. */
public enum CostKind {
  /** The bill for a span of a sandbox's life, or for a language model's work. */
  USAGE,
  /** What another record should have come to, less what it did. */
  CORRECTION,
  /** Given by the operator. */
  CREDIT
}
