package dev.sandkeeper.server.ledger;

/** What a sandbox does in the time that its lease pays for. */
public enum LeaseState {
  /** It runs. */
  RUNNING,
  /** It is held still, at the rates of paused time and without its cores. */
  PAUSED
}
