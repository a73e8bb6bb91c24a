package dev.sandkeeper.server.sandbox;

import java.time.Duration;

/**
 * What the configuration says of sandboxes.
 *
 * @param nodeId this server's name
 * @param replicaTimeout after how long without a sign of life a server counts as gone
 * @param maxProcesses processes and threads that may run in a sandbox at once
 * @param lease how long a sandbox pays ahead
 * @param stopTime the time to stop that is paid for on top of every lease
 */
public record SandboxSettings(
    String nodeId, Duration replicaTimeout, int maxProcesses, Duration lease, Duration stopTime) {

  /**
   * Returns when, before the end of the paid time, a sandbox that gets no more is ended: early
   * enough to be gone before it, by at most a second.
   */
  Duration stopLead() {
    Duration quarter = lease.dividedBy(4);
    return quarter.compareTo(Duration.ofSeconds(1)) < 0 ? quarter : Duration.ofSeconds(1);
  }

  /**
   * Returns how long the guest runs on when no server renews it: past the end of the lease, so that
   * a live server always ends a sandbox first, yet within what is paid for.
   */
  Duration guestSlack() {
    return stopTime.dividedBy(2);
  }
}
