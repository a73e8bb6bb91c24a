package dev.sandkeeper.server.ledger;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What a sandbox has used, and what has been booked for it. What could not be measured is absent,
 * never zero.
 *
 * @param lifetime from its start to its end, or to now while it runs
 * @param paused how long of it, up to {@code meteredUntil}, it was paused
 * @param cpuMicros processor time, in microseconds
 * @param memoryMibMillis memory in use over time, in MiB-milliseconds
 * @param peakMemoryBytes the most memory in use at once, in bytes
 * @param executionCount how many executions were started
 * @param cost what has been booked, nano-USD
 * @param meteredUntil up to when figures and cost reach; empty before the first segment
 */
public record SandboxUsage(
    Duration lifetime,
    Duration paused,
    OptionalLong cpuMicros,
    OptionalLong memoryMibMillis,
    OptionalLong peakMemoryBytes,
    long executionCount,
    NanoUsd cost,
    Optional<Instant> meteredUntil) {}
