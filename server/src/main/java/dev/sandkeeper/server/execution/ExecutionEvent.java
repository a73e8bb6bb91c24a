package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;

/** What happened in an execution. */
public sealed interface ExecutionEvent {

  /** Says whether the engine told of it; of others it knows nothing. */
  default boolean toldByEngine() {
    return switch (this) {
      case Started _, Output _, Result _, Failed _ -> true;
      case BudgetWarning _, Finished _ -> false;
    };
  }

  /**
   * The program runs; the first event.
   *
   * @param executionId the execution
   * @param pid the process id inside the sandbox
   */
  record Started(ExecutionId executionId, int pid) implements ExecutionEvent {}

  /**
   * The program wrote.
   *
   * @param kind to which stream
   * @param data the bytes as written, not empty; not to be changed
   * @param offset how many bytes of the stream came before
   */
  record Output(OutputStreamKind kind, byte[] data, long offset) implements ExecutionEvent {}

  /**
   * Code came to a value.
   *
   * @param data MIME type to representation
   */
  record Result(Map<String, byte[]> data) implements ExecutionEvent {}

  /**
   * Code raised an error.
   *
   * @param error what was raised
   */
  record Failed(CodeError error) implements ExecutionEvent {}

  /**
   * The budget has not enough left for another lease.
   *
   * @param limitId the limit
   * @param remaining what is left of it
   * @param paidUntil the end of the time that is paid for
   */
  record BudgetWarning(String limitId, NanoUsd remaining, Instant paidUntil)
      implements ExecutionEvent {}

  /**
   * The execution is over; the last event.
   *
   * @param end how
   * @param duration from start to end
   * @param cost its share of the sandbox's cost, as far as known at the end
   */
  record Finished(ExecutionEnd end, Duration duration, NanoUsd cost) implements ExecutionEvent {
    /** Tells of an outcome. */
    static Finished of(Instant startTime, Execution.Outcome outcome) {
      return new Finished(
          outcome.end(), Duration.between(startTime, outcome.endTime()), outcome.cost());
    }
  }
}
