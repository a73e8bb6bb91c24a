package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.engine.UsageReading;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps holds, segments and cost records. Each method is one round trip and all or nothing. */
public interface LedgerRepository {
  /** Sets the money of the first lease and the time to stop aside, or says why not. */
  Admission admit(
      Transaction transaction,
      AdmissionRequest request,
      Duration lease,
      Duration stopTime,
      Instant now);

  /**
   * Says whether an engine runs as many as it may. If it does not, nobody else finds a place in it
   * before the end of the transaction, which may thus take one.
   */
  Optional<EngineFull> full(Transaction transaction, EngineCapacity engine);

  /**
   * Meters a running or paused sandbox up to now and renews its lease.
   *
   * @param state what the sandbox does from now on; empty for what it does already
   * @param engine where it needs a place if it goes on from being paused; empty if it does not
   */
  Extension renew(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      UsageReading usage,
      Duration lease,
      Optional<LeaseState> state,
      Optional<EngineCapacity> engine,
      Instant now);

  /**
   * Closes the books of a sandbox and ends it.
   *
   * @return the closed books; empty when the generation is another
   */
  Optional<Settlement> settle(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      Optional<UsageReading> usage,
      Instant endTime,
      EndReason reason);

  /**
   * Returns what an allocation costs from a time on; empty when the tier has no price for all of
   * it. Both are cut to whole milliseconds.
   */
  Optional<NanoUsd> allocatedCost(
      String tier, int cpuCores, int memoryMib, Instant from, Duration time);

  /** Returns what breaks an invariant; reads everything. */
  List<Violation> violations();
}
