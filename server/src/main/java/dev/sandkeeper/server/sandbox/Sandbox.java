package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.policy.CommandPolicies;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A sandbox as the books have it. All times are the billing clock's.
 *
 * @param sandboxId its id
 * @param tenantId who is billed
 * @param template what it was made from
 * @param tier its price tier
 * @param engine what runs it
 * @param runtime what isolates it, by name; empty where the engine offers none by name
 * @param nodeId the machine it runs on
 * @param generation tells two lives of one id apart, from 1
 * @param state where it is in its life
 * @param cpuCores cores it is allocated
 * @param memoryMib memory it is allocated, in MiB
 * @param diskMib disk it is allocated, in MiB
 * @param timeout how long it may live, from its creation
 * @param idleTimeout how long it may be idle before it is ended; empty for all its life
 * @param onExhaustion what happens when a limit pays for no more running time
 * @param network what it may connect to
 * @param metadata the caller's labels
 * @param attribution for whom it runs
 * @param keyId the API key that created it
 * @param createTime when it was admitted
 * @param startTime when it was ready and billing began; empty when it never was
 * @param expireTime when it is ended at the latest
 * @param endTime when it ended; empty while it lives
 * @param endReason why it ended; empty while it lives
 * @param paidUntil the end of the time that is paid for
 * @param commandPolicies which commands and code may be run in it
 */
public record Sandbox(
    SandboxId sandboxId,
    TenantId tenantId,
    String template,
    String tier,
    String engine,
    Optional<String> runtime,
    String nodeId,
    long generation,
    SandboxState state,
    int cpuCores,
    int memoryMib,
    int diskMib,
    Duration timeout,
    Optional<Duration> idleTimeout,
    ExhaustionPolicy onExhaustion,
    NetworkPolicy network,
    Map<String, String> metadata,
    Attribution attribution,
    String keyId,
    Instant createTime,
    Optional<Instant> startTime,
    Instant expireTime,
    Optional<Instant> endTime,
    Optional<EndReason> endReason,
    Instant paidUntil,
    CommandPolicies commandPolicies) {

  /** Copies the metadata. */
  public Sandbox {
    metadata = Map.copyOf(metadata);
  }

  /** Says whether the caller may know of it: same tenant, and the caller's agent if it has one. */
  public boolean visibleTo(Principal principal) {
    return tenantId.equals(principal.tenantId())
        && (principal.agentId().isEmpty() || principal.agentId().equals(attribution.agentId()));
  }

  /** Returns what the beginning of every audit event about it is. */
  public AuditEntry audited(Instant time, AuditOperation operation) {
    return AuditEntry.of(tenantId, time, operation).on(sandboxId, attribution);
  }

  /**
   * Refuses to run what its policies deny.
   *
   * @throws SandkeeperException {@link ErrorReason#COMMAND_DENIED}
   */
  public void requireAllowed(ExecutionSpec.Run run) {
    commandPolicies
        .check(run)
        .ifPresent(denial -> {
          throw SandkeeperException.of(
                  ErrorReason.COMMAND_DENIED, "A command policy denies what is to be run.")
              .with("field", denial.field())
              .with("rule", denial.rule())
              .with("subject", denial.subject());
        });
  }

  /** Returns the same sandbox, paid for until the given time. */
  Sandbox withPaidUntil(Instant time) {
    return copy(engine, runtime, state, startTime, time);
  }

  /** Returns the same sandbox, to be run by an engine. */
  Sandbox runBy(EngineChoice choice) {
    return copy(choice.engine(), choice.runtime(), state, startTime, paidUntil);
  }

  /** Returns the same sandbox, RUNNING since the given time. */
  Sandbox startedAt(Instant time) {
    return copy(engine, runtime, SandboxState.RUNNING, Optional.of(time), paidUntil);
  }

  private Sandbox copy(
      String engine,
      Optional<String> runtime,
      SandboxState state,
      Optional<Instant> startTime,
      Instant paidUntil) {
    return new Sandbox(
        sandboxId,
        tenantId,
        template,
        tier,
        engine,
        runtime,
        nodeId,
        generation,
        state,
        cpuCores,
        memoryMib,
        diskMib,
        timeout,
        idleTimeout,
        onExhaustion,
        network,
        metadata,
        attribution,
        keyId,
        createTime,
        startTime,
        expireTime,
        endTime,
        endReason,
        paidUntil,
        commandPolicies);
  }
}
