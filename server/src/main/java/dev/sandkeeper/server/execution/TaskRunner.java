package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.server.telemetry.Spans;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/** Runs lists of tasks, so many at once. */
public final class TaskRunner {
  private final Sandboxes sandboxes;
  private final Executions executions;
  private final ExecutionLimits limits;
  private final Executor executor;

  /**
   * Makes the runner.
   *
   * @param executor starts a thread for each task
   */
  public TaskRunner(
      Sandboxes sandboxes, Executions executions, ExecutionLimits limits, Executor executor) {
    this.sandboxes = sandboxes;
    this.executions = executions;
    this.limits = limits;
    this.executor = executor;
  }

  /**
   * Runs the tasks and hands on the result of each as soon as it is over, those of skipped ones at
   * the end. However it is left, nothing runs on.
   *
   * @param stopOnFailure whether to begin no more behind one that failed
   * @throws SandkeeperException when the sandbox is not there or does not run, or fewer may run at
   *     once
   * @throws InterruptedException when the caller is gone
   */
  public void run(
      Principal principal,
      SandboxId sandboxId,
      List<Task> tasks,
      int maxConcurrency,
      boolean stopOnFailure,
      Consumer<TaskResult> results)
      throws InterruptedException {
    var _ = requireRunning(principal, sandboxId);
    Iterator<Task> waiting = tasks.iterator();
    try (Batch batch = begin(principal, maxConcurrency)) {
      batch.forEach(
          waiting,
          task -> new TaskResult(task.taskId(), Optional.of(batch.execute(task.request()))),
          result -> {
            results.accept(result);
            return !stopOnFailure || result.result().filter(ExecutionResult::succeeded).isPresent();
          });
      waiting.forEachRemaining(
          task -> results.accept(new TaskResult(task.taskId(), Optional.empty())));
    }
  }

  LiveSandbox requireRunning(Principal principal, SandboxId sandboxId) {
    return sandboxes.requireRunning(principal, sandboxId);
  }

  Batch begin(Principal principal, int maxConcurrency) {
    if (maxConcurrency > limits.maxRunning()) {
      throw SandkeeperException.invalidField(
          "max_concurrency",
          maxConcurrency
              + " (expected: at most "
              + limits.maxRunning()
              + ", what a sandbox may run at once)");
    }
    return new Batch(executions, principal, maxConcurrency, Spans.carrying(executor));
  }
}
