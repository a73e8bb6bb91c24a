package dev.sandkeeper.server.egress;

import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;

/** What a sandbox has left of its policy. */
public final class Allowance {
  private final AtomicLong bytes;
  private final Semaphore connections;

  /**
   * Begins with what a policy gives.
   *
   * @param used bytes that were used before, not negative
   */
  public Allowance(NetworkPolicy policy, long used) {
    bytes = new AtomicLong(Math.max(0, policy.maxBytes() - used));
    connections = new Semaphore(policy.maxConnections());
  }

  /** Takes a connection; says whether there was one left. */
  public boolean enter() {
    return connections.tryAcquire();
  }

  /** Gives a connection back. */
  public void leave() {
    connections.release();
  }

  /** Says whether no bytes are left. */
  public boolean spent() {
    return bytes.get() == 0;
  }

  /**
   * Takes bytes; where not as many are left, all that are, and the sandbox is not to have them.
   *
   * @throws RefusedException {@link Verdict#BYTE_LIMIT}
   */
  public void take(long count) throws RefusedException {
    if (bytes.getAndUpdate(left -> Math.max(0, left - count)) < count) {
      throw new RefusedException(Verdict.BYTE_LIMIT);
    }
  }
}
