package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * The bounds of executions.
 *
 * @param retention what is kept of an execution that does not say
 * @param maxRetention the most that one may ask for
 * @param maxKept how many ended executions have their events kept at most; those go first that
 *     ended first
 * @param maxKeptBytes how many bytes their events and artifacts may have together
 * @param maxRunning how many executions may run in one sandbox at once
 * @param maxContexts how many contexts may be created in one sandbox
 * @param defaultDeadline how long an execution may run when it does not say
 */
public record ExecutionLimits(
    Retention retention,
    Retention maxRetention,
    int maxKept,
    long maxKeptBytes,
    int maxRunning,
    int maxContexts,
    Duration defaultDeadline) {

  /**
   * Returns what is kept of an execution.
   *
   * @param journalBytes what it asks for; empty for the usual
   * @param keep what it asks for; empty for the usual
   * @throws SandkeeperException when that is more than it may
   */
  Retention retention(OptionalLong journalBytes, Optional<Duration> keep) {
    if (journalBytes.orElse(0) > maxRetention.journalBytes()) {
      throw SandkeeperException.invalidField(
          "journal_size_bytes",
          journalBytes.getAsLong()
              + " (expected: at most "
              + maxRetention.journalBytes()
              + ", what the server allows)");
    }
    if (keep.orElse(Duration.ZERO).compareTo(maxRetention.keep()) > 0) {
      throw SandkeeperException.invalidField(
          "keep_duration",
          keep.get() + " (expected: at most " + maxRetention.keep() + ", what the server allows)");
    }
    return new Retention(
        journalBytes.orElse(retention.journalBytes()), keep.orElse(retention.keep()));
  }
}
