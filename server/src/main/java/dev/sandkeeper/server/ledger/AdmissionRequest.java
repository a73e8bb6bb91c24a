package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;
import java.util.UUID;

/**
 * What is to be paid for before it starts.
 *
 * @param tenantId who pays
 * @param requestId made by the client; the same one is admitted once
 * @param sandboxId the sandbox that the money is for
 * @param attribution for whom it will run, which says whose limits it is charged to
 * @param tier the price tier, from the template
 * @param engine where it is to run, and how many may run there
 * @param cpuCores cores it may use, greater than zero
 * @param memoryMib MiB of memory it may use, greater than zero
 * @param timeout how long it may live, greater than zero; no lease is longer
 */
public record AdmissionRequest(
    TenantId tenantId,
    UUID requestId,
    SandboxId sandboxId,
    Attribution attribution,
    String tier,
    EngineCapacity engine,
    int cpuCores,
    int memoryMib,
    Duration timeout) {

  /** Checks the sizes. */
  public AdmissionRequest {
    if (cpuCores < 1) {
      throw new IllegalArgumentException("cpuCores: " + cpuCores + " (expected: > 0)");
    }
    if (memoryMib < 1) {
      throw new IllegalArgumentException("memoryMib: " + memoryMib + " (expected: > 0)");
    }
    if (timeout.toMillis() < 1) {
      throw new IllegalArgumentException("timeout: " + timeout + " (expected: at least PT0.001S)");
    }
  }
}
