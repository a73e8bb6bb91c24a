package dev.sandkeeper.server.alert;

/** Why nothing more is sent to a webhook. */
public enum DisableReason {
  /** It answered 410. */
  GONE,
  /** Too many attempts in a row failed, over too long a time. */
  FAILING
}
