package dev.sandkeeper.server.ledger;

/** What rows of a cost report are of. */
public enum GroupBy {
  /** The tenant. */
  TENANT,
  /** The organisation. */
  ORGANISATION,
  /** The user. */
  USER,
  /** The conversation. */
  CONVERSATION,
  /** The agent. */
  AGENT,
  /** The task. */
  TASK,
  /** The price tier. */
  TIER,
  /** What the money was for. */
  SPEND,
  /** The language model. */
  MODEL
}
