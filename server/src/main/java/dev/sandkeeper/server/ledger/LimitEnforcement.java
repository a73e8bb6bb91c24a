package dev.sandkeeper.server.ledger;

/** What a limit does when it is reached. */
public enum LimitEnforcement {
  /** Nothing is admitted past it. */
  HARD,
  /** It counts and warns only. */
  SOFT
}
