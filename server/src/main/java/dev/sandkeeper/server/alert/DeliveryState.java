package dev.sandkeeper.server.alert;

/** How far a delivery is. */
public enum DeliveryState {
  /** It waits for an attempt. */
  PENDING,
  /** The receiver took it. */
  DELIVERED,
  /** It was given up. */
  FAILED
}
