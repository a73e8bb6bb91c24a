package dev.sandkeeper.server.ledger;

import java.time.Duration;
import java.util.OptionalLong;

/**
 * The closed books of a sandbox.
 *
 * @param outcome whether this call closed them
 * @param lifetime the time that was billed
 * @param cpuMicros processor time, in microseconds; empty when never measured
 * @param memoryMibMillis memory over time, in MiB-milliseconds; empty when never measured
 * @param peakMemoryBytes the most memory in use at once, in bytes; empty when never measured
 * @param cost all its cost records, nano-USD
 */
public record Settlement(
    Outcome outcome,
    Duration lifetime,
    OptionalLong cpuMicros,
    OptionalLong memoryMibMillis,
    OptionalLong peakMemoryBytes,
    NanoUsd cost) {

  /** What a call to settle found. */
  public enum Outcome {
    /** The sandbox ran, and its last segment was booked by this call. */
    SETTLED,
    /** The sandbox never started; its hold was given back by this call. */
    RELEASED,
    /** The books were closed before; the figures are as they were booked then. */
    ALREADY_ENDED
  }
}
