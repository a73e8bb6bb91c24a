package dev.sandkeeper.server.sandbox;

import java.util.EnumSet;
import java.util.Set;

/** Where a sandbox is in its life. */
public enum SandboxState {
  /** Admitted and being started; nothing can run in it yet and nothing is billed yet. */
  PENDING,
  /** Ready; billed. */
  RUNNING,
  /** Being ended; billed until its processes are gone. */
  STOPPING,
  /** Ended; its books are closed. */
  TERMINATED,
  /** Never started; its books are closed. */
  FAILED;

  /** The states that nothing follows. */
  public static final Set<SandboxState> FINAL = Set.copyOf(EnumSet.of(TERMINATED, FAILED));

  /** Says whether a sandbox may go from this state to the other; the store checks it again. */
  public boolean mayBecome(SandboxState next) {
    return switch (this) {
      case PENDING -> next == RUNNING || next == FAILED;
      case RUNNING -> next == STOPPING || next == TERMINATED;
      case STOPPING -> next == TERMINATED;
      case TERMINATED, FAILED -> false;
    };
  }
}
