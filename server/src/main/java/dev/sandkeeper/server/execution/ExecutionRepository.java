package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Keeps the executions. */
public interface ExecutionRepository {

  /** What came of an attempt to add an execution. */
  sealed interface Insertion {
    /** It was added, and its sandbox runs and is paid for. */
    record Added() implements Insertion {}

    /**
     * The request id was used before.
     *
     * @param executionId by this execution
     * @param contentHash for a request of this content, 32 bytes
     */
    record Repeated(ExecutionId executionId, byte[] contentHash) implements Insertion {}

    /** The caller said that the sandbox runs as many as it may. */
    record NoRoom() implements Insertion {}

    /** The sandbox does not run, or its paid time is over. */
    record NotRunning() implements Insertion {}
  }

  /**
   * Adds an execution that starts now, if its sandbox runs and is paid for at its start; counts it
   * at the sandbox. Two with the same request id at the same moment wait for each other. One
   * statement.
   *
   * @param principal who has it run
   * @param hasRoom whether one more may run
   */
  Insertion insert(
      Transaction transaction,
      Principal principal,
      Execution execution,
      RequestKey requestKey,
      boolean hasRoom);

  /**
   * Writes down how an execution ended, what it cost, and its audit event. One statement; repeating
   * it after an answer that was lost gives the same answer.
   *
   * @param outcome how it ended, its cost still zero
   * @return the outcome with its cost; empty when another end is known already
   */
  Optional<Execution.Outcome> finish(
      Transaction transaction, ExecutionId executionId, Execution.Outcome outcome);

  /**
   * Ends, as LOST, all executions of the sandbox that still count as running.
   *
   * @param but of these
   * @return the executions as they are now
   */
  List<Execution> finishLost(
      Transaction transaction, SandboxId sandboxId, Instant endTime, Set<ExecutionId> but);

  /** Returns the executions of the sandbox that still count as running. */
  List<Execution> running(SandboxId sandboxId);

  /** Returns the execution. */
  Optional<Execution> find(ExecutionId executionId);

  /** Returns a page of a sandbox's executions, newest first by start. */
  Page<Execution> list(SandboxId sandboxId, Page.Request page);
}
