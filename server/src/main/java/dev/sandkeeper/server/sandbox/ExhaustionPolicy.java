package dev.sandkeeper.server.sandbox;

/** What happens to a sandbox when a limit pays for no more running time. */
public enum ExhaustionPolicy {
  /** It runs on for what is paid, and is ended. */
  TERMINATE,
  /** It is paused at once, and ended when not even paused time can be paid. */
  PAUSE
}
