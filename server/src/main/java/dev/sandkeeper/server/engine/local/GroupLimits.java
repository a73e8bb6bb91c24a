package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.guest.Guest;

/**
 * What the processes of a sandbox's control group may have, all together.
 *
 * @param memoryBytes the most memory
 * @param withoutSwap whether they are to be kept from swapping, where the kernel lets us
 * @param cpuQuotaMicros processor time in every {@link #CPU_PERIOD_MICROS}
 * @param processes the most processes and threads
 */
record GroupLimits(long memoryBytes, boolean withoutSwap, long cpuQuotaMicros, int processes) {

  static final long CPU_PERIOD_MICROS = 100_000;

  /** Returns those of a sandbox that a kind of runtime isolates. */
  static GroupLimits of(SandboxSpec spec, RuntimeKind kind, boolean withoutSwap) {
    return new GroupLimits(
        spec.memoryBytes(),
        withoutSwap,
        spec.cpuCores() * CPU_PERIOD_MICROS,
        kind.threadsPerProcess() * (spec.maxProcesses() + Guest.AGENT_PROCESSES));
  }
}
