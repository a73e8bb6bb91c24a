package dev.sandkeeper.server.engine.local;

import java.util.List;
import java.util.OptionalLong;

/**
 * The control group of one sandbox. Every reading is empty when the kernel does not offer it or the
 * group is gone.
 */
interface Cgroup {

  /** Processor time used since creation, in microseconds. */
  OptionalLong cpuMicros();

  /** Memory in use that could not be had back at once, in bytes: without inactive file pages. */
  OptionalLong memoryBytes();

  /** The most memory in use at once, in bytes. */
  OptionalLong peakMemoryBytes();

  /** How many processes the kernel has killed for want of memory; 0 when that is not told. */
  long outOfMemoryKills();

  /** Process ids in the group, as seen from here. */
  List<Long> processes();

  /** The switch that holds them still. */
  Freezer freezer();
}
