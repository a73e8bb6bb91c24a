package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.ExecutionEnd;
import java.util.Optional;

/** What came of something that was to be run. */
public sealed interface ExecutionResult {

  /**
   * It was run.
   *
   * @param executionId the execution
   * @param finished how it ended
   * @param stdout the beginning of its standard output
   * @param stderr the beginning of its standard error
   * @param error what ended a piece of code, or kept it from being started
   */
  record Ran(
      ExecutionId executionId,
      ExecutionEvent.Finished finished,
      CapturedOutput stdout,
      CapturedOutput stderr,
      Optional<CodeError> error)
      implements ExecutionResult {

    @Override
    public boolean succeeded() {
      ExecutionEnd end = finished.end();
      return end.reason() == ExecutionEnd.Reason.COMPLETED && end.exitCode().orElse(-1) == 0;
    }
  }

  /**
   * It was not run.
   *
   * @param refusal why
   */
  record Refused(SandkeeperException refusal) implements ExecutionResult {

    @Override
    public boolean succeeded() {
      return false;
    }
  }

  /** Says whether it exited with 0. */
  boolean succeeded();
}
