package dev.sandkeeper.server.ledger;

/** Why a sandbox ended and was settled. */
public enum EndReason {
  /** Its user asked for it. */
  TERMINATED,
  /** Its timeout passed. */
  TIMEOUT,
  /** It was idle for its idle timeout. */
  IDLE,
  /** A budget had nothing left to pay for more time. */
  BUDGET_EXHAUSTED,
  /** It used all its memory and the kernel ended it whole. */
  OUT_OF_MEMORY,
  /** The engine could not start it, or lost it. */
  ENGINE_FAILED,
  /** The server that ran it was gone. */
  ORPHANED
}
