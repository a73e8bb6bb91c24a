package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.FinishReason;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * One event of an execution: {@link Started} is the first of whatever could be started, {@link
 * Finished} always the last.
 *
 * <p>A closed set: a {@code switch} over it (JDK 21) or a chain of {@code instanceof} needs no
 * default. Events of kinds that only a newer client knows are left out.
 */
public sealed interface ExecutionEvent {
  /** Returns the event's number, from 1 without gaps but for events left out. */
  long sequence();

  /** Returns when the server saw it. */
  Instant time();

  /**
   * The program runs.
   *
   * @param executionId for attaching again, and for signals
   * @param pid the process id inside the sandbox
   */
  record Started(long sequence, Instant time, String executionId, int pid)
      implements ExecutionEvent {}

  /**
   * Bytes the program wrote to its standard output.
   *
   * @param data at most 256 KiB; cut anywhere, also within a character
   * @param offset how many bytes of standard output came before
   */
  record Stdout(long sequence, Instant time, ByteString data, long offset)
      implements ExecutionEvent {}

  /**
   * Bytes the program wrote to its standard error.
   *
   * @param data at most 256 KiB; cut anywhere, also within a character
   * @param offset how many bytes of standard error came before
   */
  record Stderr(long sequence, Instant time, ByteString data, long offset)
      implements ExecutionEvent {}

  /**
   * The value of a cell's last expression.
   *
   * @param data MIME type to data, such as {@code text/plain} to how the language shows the value
   */
  record Result(long sequence, Instant time, Map<String, ByteString> data)
      implements ExecutionEvent {
    /** Returns the value as text; empty when the language shows it in other ways only. */
    public Optional<String> text() {
      return Optional.ofNullable(data.get("text/plain")).map(ByteString::toStringUtf8);
    }
  }

  /**
   * The error that ended a piece of code.
   *
   * @param name its type, such as {@code ZeroDivisionError}
   * @param value its text
   * @param traceback as the language prints it, at most 64 KiB
   */
  record CodeError(long sequence, Instant time, String name, String value, String traceback)
      implements ExecutionEvent {}

  /**
   * The budget ends; the sandbox will be ended before its paid time is over.
   *
   * @param limitId the limit that has not enough left
   * @param remainingNanoUsd what is left of it, in nano-USD (1 USD is 1,000,000,000)
   * @param paidUntil the end of the time that is paid for
   */
  record BudgetWarning(
      long sequence, Instant time, String limitId, long remainingNanoUsd, Instant paidUntil)
      implements ExecutionEvent {}

  /**
   * The execution is over.
   *
   * @param reason why it ended
   * @param exitCode 0 to 255; empty when a signal ended it or the outcome is not known
   * @param signal what ended it, such as 9; empty when it exited
   * @param duration from start to end
   * @param cpuMicros processor time of its processes, in microseconds; empty when not measured
   * @param peakMemoryBytes the most memory its largest process had resident, in bytes; empty when
   *     not measured
   * @param costNanoUsd its share of the sandbox's cost, in nano-USD; the cost records, which may
   *     differ by rounding, are what is billed
   */
  record Finished(
      long sequence,
      Instant time,
      FinishReason reason,
      OptionalInt exitCode,
      OptionalInt signal,
      Duration duration,
      OptionalLong cpuMicros,
      OptionalLong peakMemoryBytes,
      long costNanoUsd)
      implements ExecutionEvent {
    /** Says whether the program ran and exited with 0. */
    public boolean succeeded() {
      return exitCode.isPresent() && exitCode.getAsInt() == 0;
    }
  }
}
