package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;

/**
 * An engine runs as many sandboxes as it may.
 *
 * @param engine its name
 * @param capacity how many it may run
 * @param running how many it runs
 */
public record EngineFull(String engine, int capacity, int running) {
  private static final Duration RETRY_DELAY = Duration.ofSeconds(5);

  /** Returns what the caller is told. */
  public SandkeeperException asException() {
    return SandkeeperException.of(
            ErrorReason.ENGINE_FULL,
            "The engine runs as many sandboxes as it may; wait until others end or are paused.")
        .with("engine", engine)
        .with("capacity", capacity)
        .with("running", running)
        .retryAfter(RETRY_DELAY);
  }
}
