package dev.sandkeeper.server.base;

/** What a caller may do. */
public enum Scope {
  /** Operate the platform: everything, for every tenant. */
  ADMIN,
  /** Create, use and end sandboxes; includes {@link #READ}. */
  RUN,
  /** Look, change nothing. */
  READ
}
