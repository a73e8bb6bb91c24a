package dev.sandkeeper.server.ledger;

/** Whose use a limit limits. */
public enum LimitScope {
  /** All of a tenant's. */
  TENANT,
  /** What is attributed to an organisation. */
  ORGANISATION,
  /** What is attributed to a user. */
  USER,
  /** What is attributed to a conversation. */
  CONVERSATION,
  /** What is attributed to an agent. */
  AGENT
}
