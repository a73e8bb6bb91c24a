package dev.sandkeeper.client;

/**
 * Takes the events of an execution, one after the other and in order. Each method does nothing
 * unless overridden.
 *
 * <p>The next events are not asked for until a method returns, so one that takes its time holds the
 * stream, and with it the program, back.
 */
public interface ExecutionListener {
  /** Takes the first event: the program runs. */
  default void onStarted(ExecutionEvent.Started started) {}

  /** Takes bytes of standard output. */
  default void onStdout(ExecutionEvent.Stdout stdout) {}

  /** Takes bytes of standard error. */
  default void onStderr(ExecutionEvent.Stderr stderr) {}

  /** Takes the value of a cell's last expression. */
  default void onResult(ExecutionEvent.Result result) {}

  /** Takes the error that ended a piece of code. */
  default void onCodeError(ExecutionEvent.CodeError error) {}

  /** Learns that the budget ends. */
  default void onBudgetWarning(ExecutionEvent.BudgetWarning warning) {}

  /** Takes the last event: the execution is over. */
  default void onFinished(ExecutionEvent.Finished finished) {}
}
