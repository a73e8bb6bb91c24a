package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.sandbox.CreateSandbox;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.SandboxCreator;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs one thing in a sandbox of its own, and ends the sandbox when it is over, whoever still
 * watches. If this server is killed meanwhile, the sandbox's timeout ends it.
 */
public final class OneOffRuns {
  private static final Logger logger = LoggerFactory.getLogger(OneOffRuns.class);

  private final SandboxCreator creator;
  private final Sandboxes sandboxes;
  private final Executions executions;
  private final Executor executor;

  /**
   * Makes the runs.
   *
   * @param executor runs what blocks
   */
  public OneOffRuns(
      SandboxCreator creator, Sandboxes sandboxes, Executions executions, Executor executor) {
    this.creator = creator;
    this.sandboxes = sandboxes;
    this.executions = executions;
    this.executor = executor;
  }

  /**
   * Creates a sandbox and starts the execution; of a repeated request it returns the run that there
   * is, from its first event.
   *
   * @param execution makes the request for the sandbox, of the same request id
   * @throws SandkeeperException what {@link SandboxCreator#create} and {@link Executions#execute}
   *     refuse with; no sandbox is left then
   */
  public OneOffRun start(
      Principal principal, CreateSandbox create, Function<SandboxId, ExecutionRequest> execution) {
    Sandbox sandbox = creator.create(principal, create);
    Run run;
    try {
      run = executions.run(principal, execution.apply(sandbox.sandboxId()));
    } catch (RuntimeException e) {
      endUnused(principal, sandbox.sandboxId(), e);
      throw e;
    }
    CompletableFuture<Sandbox> ended =
        run.over().handleAsync((_, _) -> end(principal, sandbox.sandboxId()), executor);
    return new OneOffRun(sandbox, run.executionId(), run.events(), ended);
  }

  /** Ends the sandbox of a run that was refused, unless the same request's first run goes on. */
  private void endUnused(Principal principal, SandboxId sandboxId, RuntimeException refusal) {
    if (sandboxes.live(sandboxId).isEmpty() || executions.anyRunningIn(sandboxId)) {
      return;
    }
    try {
      var _ = end(principal, sandboxId);
    } catch (RuntimeException e) {
      refusal.addSuppressed(e);
    }
  }

  private Sandbox end(Principal principal, SandboxId sandboxId) {
    try {
      return sandboxes.terminate(principal, sandboxId, Duration.ZERO);
    } catch (RuntimeException e) {
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandboxId)
          .setCause(e)
          .log(
              "The sandbox of a run could not be ended or settled yet; the sweeper goes on with it");
      throw e;
    }
  }
}
