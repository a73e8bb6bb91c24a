package dev.sandkeeper.client;

import dev.sandkeeper.v1.BudgetWarning;
import dev.sandkeeper.v1.CodeError;
import dev.sandkeeper.v1.Finished;
import java.time.Instant;
import java.util.OptionalInt;
import java.util.OptionalLong;

/** Turns events of the contract into typed ones, whose bytes are handed on, not copied. */
final class EventMapper {
  private EventMapper() {}

  static ExecutionEvent fromProto(dev.sandkeeper.v1.ExecutionEvent event) {
    long sequence = event.getSequence();
    Instant time = Times.fromProto(event.getTime());
    return switch (event.getEventCase()) {
      case STARTED ->
          new ExecutionEvent.Started(
              sequence, time, event.getStarted().getExecutionId(), event.getStarted().getPid());
      case STDOUT ->
          new ExecutionEvent.Stdout(
              sequence, time, event.getStdout().getData(), event.getStdout().getOffset());
      case STDERR ->
          new ExecutionEvent.Stderr(
              sequence, time, event.getStderr().getData(), event.getStderr().getOffset());
      case RESULT -> new ExecutionEvent.Result(sequence, time, event.getResult().getDataMap());
      case ERROR -> error(sequence, time, event.getError());
      case BUDGET_WARNING -> warning(sequence, time, event.getBudgetWarning());
      case FINISHED -> finished(sequence, time, event.getFinished());
      case HEARTBEAT, EVENT_NOT_SET ->
          throw new IllegalArgumentException("nothing for a receiver: " + event.getEventCase());
    };
  }

  /** Calls the listener's method for the event. */
  static void tell(ExecutionListener listener, ExecutionEvent event) {
    if (event instanceof ExecutionEvent.Stdout stdout) {
      listener.onStdout(stdout);
    } else if (event instanceof ExecutionEvent.Stderr stderr) {
      listener.onStderr(stderr);
    } else if (event instanceof ExecutionEvent.Started started) {
      listener.onStarted(started);
    } else if (event instanceof ExecutionEvent.Result result) {
      listener.onResult(result);
    } else if (event instanceof ExecutionEvent.CodeError error) {
      listener.onCodeError(error);
    } else if (event instanceof ExecutionEvent.BudgetWarning warning) {
      listener.onBudgetWarning(warning);
    } else if (event instanceof ExecutionEvent.Finished finished) {
      listener.onFinished(finished);
    }
  }

  private static ExecutionEvent error(long sequence, Instant time, CodeError error) {
    return new ExecutionEvent.CodeError(
        sequence, time, error.getName(), error.getValue(), error.getTraceback());
  }

  private static ExecutionEvent warning(long sequence, Instant time, BudgetWarning warning) {
    return new ExecutionEvent.BudgetWarning(
        sequence,
        time,
        warning.getLimitId(),
        warning.getRemainingNanoUsd(),
        Times.fromProto(warning.getPaidUntilTime()));
  }

  private static ExecutionEvent finished(long sequence, Instant time, Finished finished) {
    return new ExecutionEvent.Finished(
        sequence,
        time,
        finished.getReason(),
        finished.hasExitCode() ? OptionalInt.of(finished.getExitCode()) : OptionalInt.empty(),
        finished.hasSignal() ? OptionalInt.of(finished.getSignal()) : OptionalInt.empty(),
        Times.fromProto(finished.getDuration()),
        finished.hasCpuMicros() ? OptionalLong.of(finished.getCpuMicros()) : OptionalLong.empty(),
        finished.hasPeakMemoryBytes()
            ? OptionalLong.of(finished.getPeakMemoryBytes())
            : OptionalLong.empty(),
        finished.getCostNanoUsd());
  }
}
