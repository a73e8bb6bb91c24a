package dev.sandkeeper.server.sandbox;

import java.time.Duration;

/**
 * What a sandbox is made from.
 *
 * @param name as callers name it
 * @param description what it is for
 * @param tier the price tier, which no caller chooses
 * @param engine the engine that runs it
 * @param cpuCores cores
 * @param memoryMib memory in MiB
 * @param diskMib disk in MiB
 * @param defaultTimeout how long a sandbox lives that does not say
 * @param maxTimeout how long a sandbox may live
 */
public record Template(
    String name,
    String description,
    String tier,
    String engine,
    Range cpuCores,
    Range memoryMib,
    Range diskMib,
    Duration defaultTimeout,
    Duration maxTimeout) {

  /**
   * What may be asked for.
   *
   * @param standard what a sandbox gets that asks for nothing
   * @param min the least
   * @param max the most
   */
  public record Range(int standard, int min, int max) {
    /** Says whether the value may be asked for. */
    boolean holds(int value) {
      return value >= min && value <= max;
    }
  }
}
