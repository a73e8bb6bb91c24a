package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.EndReason;
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
 * @param nodeId the machine it runs on
 * @param generation tells two lives of one id apart, from 1
 * @param state where it is in its life
 * @param cpuCores cores it is allocated
 * @param memoryMib memory it is allocated, in MiB
 * @param diskMib disk it is allocated, in MiB
 * @param timeout how long it may live, from its creation
 * @param idleTimeout how long it may be idle before it is ended; empty for all its life
 * @param onExhaustion what happens when a limit pays for no more running time
 * @param metadata the caller's labels
 * @param attribution for whom it runs
 * @param keyId the API key that created it
 * @param createTime when it was admitted
 * @param startTime when it was ready and billing began; empty when it never was
 * @param expireTime when it is ended at the latest
 * @param endTime when it ended; empty while it lives
 * @param endReason why it ended; empty while it lives
 * @param paidUntil the end of the time that is paid for
 */
public record Sandbox(
    SandboxId sandboxId,
    TenantId tenantId,
    String template,
    String tier,
    String engine,
    String nodeId,
    long generation,
    SandboxState state,
    int cpuCores,
    int memoryMib,
    int diskMib,
    Duration timeout,
    Optional<Duration> idleTimeout,
    ExhaustionPolicy onExhaustion,
    Map<String, String> metadata,
    Attribution attribution,
    String keyId,
    Instant createTime,
    Optional<Instant> startTime,
    Instant expireTime,
    Optional<Instant> endTime,
    Optional<EndReason> endReason,
    Instant paidUntil) {

  /** Copies the metadata. */
  public Sandbox {
    metadata = Map.copyOf(metadata);
  }

  /** Says whether the caller may know of it: same tenant, and the caller's agent if it has one. */
  public boolean visibleTo(Principal principal) {
    return tenantId.equals(principal.tenantId())
        && (principal.agentId().isEmpty() || principal.agentId().equals(attribution.agentId()));
  }

  /** Returns the same sandbox, paid for until the given time. */
  Sandbox withPaidUntil(Instant time) {
    return new Sandbox(
        sandboxId,
        tenantId,
        template,
        tier,
        engine,
        nodeId,
        generation,
        state,
        cpuCores,
        memoryMib,
        diskMib,
        timeout,
        idleTimeout,
        onExhaustion,
        metadata,
        attribution,
        keyId,
        createTime,
        startTime,
        expireTime,
        endTime,
        endReason,
        time);
  }

  /** Returns the same sandbox, RUNNING since the given time. */
  Sandbox startedAt(Instant time) {
    return new Sandbox(
        sandboxId,
        tenantId,
        template,
        tier,
        engine,
        nodeId,
        generation,
        SandboxState.RUNNING,
        cpuCores,
        memoryMib,
        diskMib,
        timeout,
        idleTimeout,
        onExhaustion,
        metadata,
        attribution,
        keyId,
        createTime,
        Optional.of(time),
        expireTime,
        endTime,
        endReason,
        paidUntil);
  }
}
