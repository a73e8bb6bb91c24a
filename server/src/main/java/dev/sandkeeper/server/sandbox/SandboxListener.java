package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Duration;
import java.time.Instant;

/** Is told what happens to sandboxes, by those who end them. */
public interface SandboxListener {
  /**
   * The budget has not enough left for another lease.
   *
   * @param sandbox which will be ended before its paid time is over
   * @param limitId the limit
   * @param remaining what is left of it
   * @param paidUntil the end of the paid time
   */
  void budgetWarning(LiveSandbox sandbox, String limitId, NanoUsd remaining, Instant paidUntil);

  /** Waits, at most the given time, until the ends of a stopped sandbox's executions are known. */
  void awaitExecutions(SandboxId sandboxId, Duration timeout);

  /**
   * Goes on with the executions of a sandbox that an earlier server left; those that cannot go on
   * are written down as LOST.
   *
   * @param sandbox which lives on, and is about to be served
   */
  void takeUpExecutions(LiveSandbox sandbox);

  /**
   * Writes down, as LOST, the executions of a sandbox of which nothing more can be learnt.
   *
   * @param transaction in which the sandbox is settled
   * @param sandbox whose they are
   * @param endTime when they were over at the latest
   */
  void loseExecutions(Transaction transaction, Sandbox sandbox, Instant endTime);
}
