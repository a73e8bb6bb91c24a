package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.sandbox.Sandbox;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * An execution in a sandbox of its own, which ends with it.
 *
 * @param sandbox the sandbox as it is at the start, or when the run is found again
 * @param executionId the execution
 * @param events its events; to be closed
 * @param ended the sandbox once it has ended and is settled
 */
public record OneOffRun(
    Sandbox sandbox,
    ExecutionId executionId,
    JournalReader events,
    CompletableFuture<Sandbox> ended) {

  /**
   * Waits for the sandbox's end, which follows the execution's, and returns it settled.
   *
   * @throws SandkeeperException when it is ended but could not be settled yet
   */
  public Sandbox awaitEnded() throws InterruptedException {
    try {
      return ended.get();
    } catch (ExecutionException e) {
      throw e.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(e);
    }
  }
}
