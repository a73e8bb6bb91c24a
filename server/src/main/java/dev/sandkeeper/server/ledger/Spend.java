package dev.sandkeeper.server.ledger;

/** What money is for. */
public enum Spend {
  /** Sandboxes. */
  SANDBOX,
  /** Language models. */
  LLM
}
