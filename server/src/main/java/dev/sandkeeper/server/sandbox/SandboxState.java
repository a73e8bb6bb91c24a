package dev.sandkeeper.server.sandbox;

import java.util.EnumSet;
import java.util.Set;

/** Where a sandbox is in its life. */
public enum SandboxState {
  /** Admitted and being started; nothing can run in it yet and nothing is billed yet. */
  PENDING,
  /** Ready; billed. */
  RUNNING,
  /**
   * Held still as it is: its memory and files stay, nothing of it runs; billed at its own rates.
   */
  PAUSED,
  /** Being ended; billed until its processes are gone. */
  STOPPING,
  /** Ended; its books are closed. */
  TERMINATED,
  /** Never started; its books are closed. */
  FAILED;

  /** The states that nothing follows. */
  public static final Set<SandboxState> FINAL = Set.copyOf(EnumSet.of(TERMINATED, FAILED));
}
