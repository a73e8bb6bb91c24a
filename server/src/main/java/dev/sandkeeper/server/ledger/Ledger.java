package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.engine.UsageReading;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * The one place where money is decided: sandboxes are admitted, kept paid and settled here.
 *
 * <p>All times are the billing clock's; billing is in whole milliseconds. A transaction that also
 * appends to the audit does that last, as everything that is recorded for a tenant waits for it.
 */
public final class Ledger {
  private final LedgerRepository repository;
  private final LedgerSettings settings;

  /** Makes the ledger. */
  public Ledger(LedgerRepository repository, LedgerSettings settings) {
    this.repository = repository;
    this.settings = settings;
  }

  /**
   * Sets money aside for a sandbox's first lease, which is no longer than its timeout, and for the
   * time to stop it. When granted, the caller adds the sandbox's row in the same transaction; any
   * other answer has changed nothing, and the transaction may commit what records it.
   *
   * <p>Of two equal request ids at the same moment the second waits for the first and is answered
   * {@link Admission.Replayed}, or, if that was not granted, decided anew.
   */
  public Admission admit(Transaction transaction, AdmissionRequest request, Instant now) {
    return repository.admit(
        transaction,
        request,
        shorter(settings.lease(), request.timeout()),
        settings.stopTime(),
        now);
  }

  /**
   * Takes a place in another engine for a sandbox that was admitted and is starting: the caller
   * makes its row one of that engine in the same transaction.
   *
   * @return empty when there is one; otherwise nothing has changed
   */
  public Optional<EngineFull> full(Transaction transaction, EngineCapacity engine) {
    return repository.full(transaction, engine);
  }

  /**
   * Computes what a sandbox would cost that is created now.
   *
   * @throws SandkeeperException with {@link ErrorReason#NO_PRICE_FOR_TIER} when the tier has no
   *     price for all of that time
   */
  public CostEstimate estimate(
      String tier, int cpuCores, int memoryMib, Duration timeout, Instant now) {
    Duration held = shorter(settings.lease(), timeout).plus(settings.stopTime());
    return new CostEstimate(
        tier,
        allocated(tier, cpuCores, memoryMib, now, timeout),
        allocated(tier, cpuCores, memoryMib, now, held));
  }

  private NanoUsd allocated(String tier, int cpuCores, int memoryMib, Instant from, Duration time) {
    return repository
        .allocatedCost(tier, cpuCores, memoryMib, from, time)
        .orElseThrow(() -> new Admission.NoPrice(tier).asException());
  }

  /**
   * Books what a sandbox, running or paused, used up to now and pays for another lease, which never
   * reaches past its expiry. When a limit has not enough left, what is left is taken as a shorter
   * lease; what was paid before stays paid in any case.
   *
   * @param generation the owner's; another one's books are not touched
   * @param usage cumulative since the sandbox was created
   */
  public Extension extend(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      UsageReading usage,
      Instant now) {
    return renew(transaction, sandboxId, generation, usage, Optional.empty(), now);
  }

  /**
   * Pauses a sandbox, whose processes must stand still by now: books what it used up to now, makes
   * its row PAUSED and pays for a lease at the rates of paused time, giving back its cores. What it
   * has paid for running always pays for being paused, so that only the time beyond that may be
   * refused. Of one that is paused it renews the lease.
   *
   * @param generation the owner's; another one's books are not touched
   * @param usage cumulative since the sandbox was created
   */
  public Extension pause(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      UsageReading usage,
      Instant now) {
    return renew(transaction, sandboxId, generation, usage, Optional.of(LeaseState.PAUSED), now);
  }

  /**
   * Resumes a paused sandbox, whose processes may go on only after it: books what it used up to
   * now, makes its row RUNNING, pays for a whole lease and takes its cores. Refused, it stays
   * paused, and nothing but the metering has changed. Of one that runs it renews the lease.
   *
   * @param generation the owner's; another one's books are not touched
   * @param usage cumulative since the sandbox was created
   * @param engine where it runs: paused it had no place there
   */
  public Extension resume(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      UsageReading usage,
      EngineCapacity engine,
      Instant now) {
    return repository.renew(
        transaction,
        sandboxId,
        generation,
        usage,
        settings.lease(),
        Optional.of(LeaseState.RUNNING),
        Optional.of(engine),
        now);
  }

  private Extension renew(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      UsageReading usage,
      Optional<LeaseState> state,
      Instant now) {
    return repository.renew(
        transaction, sandboxId, generation, usage, settings.lease(), state, Optional.empty(), now);
  }

  /**
   * Ends a sandbox and closes its books, for every way of ending: books the rest of its running
   * life, gives back what was held and not used, and makes its row TERMINATED, or FAILED where it
   * never started or the engine failed. Done once; repeated, it answers with the figures as booked.
   *
   * <p>What ran past its paid time is booked all the same, past a limit if need be, and recorded as
   * an overrun.
   *
   * @param generation the owner's
   * @param usage the final usage; empty when nobody saw the end, which is then taken to be no later
   *     than the paid time and recorded as estimated
   * @param endTime when it ended
   * @throws SandkeeperException with {@link ErrorReason#SANDBOX_TAKEN_OVER} when another owner has
   *     claimed the sandbox
   */
  public Settlement settle(
      Transaction transaction,
      SandboxId sandboxId,
      long generation,
      Optional<UsageReading> usage,
      Instant endTime,
      EndReason reason) {
    return repository
        .settle(transaction, sandboxId, generation, usage, endTime, reason)
        .orElseThrow(() ->
            SandkeeperException.of(
                    ErrorReason.SANDBOX_TAKEN_OVER,
                    "Another server has taken the sandbox over and ends it.")
                .with("sandboxId", sandboxId)
                .with("generation", generation));
  }

  /**
   * Checks the ledger's invariants 1 to 5 and 7 to 9 by recomputing them from all rows.
   *
   * @return what breaks them, at most 1,000; empty when all is sound
   */
  public List<Violation> checkInvariants() {
    return repository.violations();
  }

  private static Duration shorter(Duration one, Duration other) {
    return one.compareTo(other) <= 0 ? one : other;
  }
}
