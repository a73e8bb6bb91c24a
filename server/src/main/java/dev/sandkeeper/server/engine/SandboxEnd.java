package dev.sandkeeper.server.engine;

import java.util.Optional;

/**
 * How a sandbox ended by itself.
 *
 * @param reason why
 * @param usage the final usage, when it could be read
 */
public record SandboxEnd(Reason reason, Optional<UsageReading> usage) {

  /** Why a sandbox ended. */
  public enum Reason {
    /** The kernel ended the whole sandbox because it had no memory left. */
    OUT_OF_MEMORY,
    /** Its paid time passed without being renewed. */
    PAID_TIME_OVER,
    /** Its agent or the whole of it is gone, for no known reason. */
    AGENT_LOST
  }
}
