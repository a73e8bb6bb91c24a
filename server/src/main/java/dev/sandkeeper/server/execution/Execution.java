package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Instant;
import java.util.Optional;

/**
 * A command or a piece of code that runs, or ran, in a sandbox.
 *
 * @param executionId its id
 * @param sandboxId where it runs
 * @param tenantId whose it is
 * @param language the language of its code; empty for a command
 * @param startTime when it started; billing clock
 * @param codeHash SHA-256 of the code, or of the arguments each followed by a NUL; 32 bytes
 * @param outcome how it ended; empty while it runs
 */
public record Execution(
    ExecutionId executionId,
    SandboxId sandboxId,
    TenantId tenantId,
    Optional<Language> language,
    Instant startTime,
    byte[] codeHash,
    Optional<Outcome> outcome) {

  /**
   * How an execution ended.
   *
   * @param end why and with what usage
   * @param endTime when; billing clock
   * @param cost its share of the sandbox's cost, as told in its last event
   * @param lastSequence the number of its last event; 0 when none was kept
   * @param stdout what it wrote to standard output
   * @param stderr what it wrote to standard error
   */
  public record Outcome(
      ExecutionEnd end,
      Instant endTime,
      NanoUsd cost,
      long lastSequence,
      Optional<OutputDigest> stdout,
      Optional<OutputDigest> stderr) {

    /** Returns the same with its cost. */
    public Outcome withCost(NanoUsd newCost) {
      return new Outcome(end, endTime, newCost, lastSequence, stdout, stderr);
    }
  }

  /**
   * All that was written to a stream, kept or not.
   *
   * @param bytes how many
   * @param sha256 their SHA-256, 32 bytes
   */
  public record OutputDigest(long bytes, byte[] sha256) {}
}
