package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * What was billed of a sandbox that ended, beside what its engine has on record of it.
 *
 * @param remoteId what the service behind the engine calls it; empty where that is not known
 * @param billed how long it was billed as running, pauses left out
 * @param reported what the engine has on record; empty where it has nothing
 * @param tolerance by how much both may differ
 * @param checkTime when they were compared
 */
public record Reconciliation(
    SandboxId sandboxId,
    TenantId tenantId,
    String engine,
    Optional<String> remoteId,
    Duration billed,
    Optional<Reported> reported,
    Duration tolerance,
    Instant checkTime) {

  /**
   * What an engine has on record.
   *
   * @param ran how long the sandbox ran, pauses left out, in whole milliseconds
   * @param startTime when it first started, by the engine's clock
   * @param endTime when it ended, by the engine's clock
   */
  public record Reported(Duration ran, Instant startTime, Instant endTime) {}

  /** Returns what was reported less what was billed; empty where nothing was reported. */
  public Optional<Duration> drift() {
    return reported.map(found -> found.ran().minus(billed));
  }

  /** Says whether both differ by more than the tolerance, or nothing was reported. */
  public boolean drifted() {
    return drift().map(drift -> drift.abs().compareTo(tolerance) > 0).orElse(true);
  }
}
