package dev.sandkeeper.server.ledger;

/** Where a hold is in its life; it ends once. */
public enum HoldState {
  /** The money is set aside. */
  OPEN,
  /** What was spent is booked, and the rest given back. */
  SETTLED,
  /** Nothing was spent; all of it is given back. */
  RELEASED
}
