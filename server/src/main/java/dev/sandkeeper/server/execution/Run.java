package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import java.util.concurrent.CompletableFuture;

/**
 * An execution that was started, or found again.
 *
 * @param live the execution
 * @param events its events; to be closed
 */
record Run(LiveExecution live, JournalReader events) {
  /** Returns the execution's id. */
  ExecutionId executionId() {
    return live.execution().executionId();
  }

  /** Completes when it is over and another may have its place. */
  CompletableFuture<Boolean> over() {
    return live.over();
  }

  /** Ends its whole process tree; does nothing when it is over. Does not block. */
  void kill() {
    live.kill();
  }
}
