package dev.sandkeeper.server.engine.local;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;

/**
 * The control group of one sandbox. Every reading is empty when the kernel does not offer it or the
 * group is gone.
 */
interface Cgroup {

  /**
   * Makes the group with its limits, for a runtime that does not.
   *
   * @return the files by which a process enters it, by writing 0
   */
  List<Path> make(GroupLimits limits) throws IOException;

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

  /**
   * Bounds the memory of network sockets where that does not count as the group's memory. Otherwise
   * one sandbox could take what the kernel has for all of the machine.
   *
   * @param bytes the most
   */
  void limitSocketMemory(long bytes) throws IOException;

  /**
   * Sets whether it gives way to others that want the processors too: at once where the kernel
   * knows idle groups, from 5.15 on, else it gets an eighth of the part that every group gets.
   */
  void giveWay(boolean gives) throws IOException;

  /** The switch that holds them still. */
  Freezer freezer();
}
