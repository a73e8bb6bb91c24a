package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What came of an execution.
 *
 * @param stdout what the program wrote to its standard output, up to the bound
 * @param stderr what the program wrote to its standard error, up to the bound
 * @param truncated whether either wrote more than the bound, so that its rest was dropped
 * @param results the values of the code's last expressions; mostly one or none
 * @param error the error that ended the code; empty when it ran through, and for commands
 * @param finished how it ended, what it used and what it cost
 */
public record ExecutionResult(
    ByteString stdout,
    ByteString stderr,
    boolean truncated,
    List<ExecutionEvent.Result> results,
    Optional<ExecutionEvent.CodeError> error,
    ExecutionEvent.Finished finished) {
  /** Copies the list. */
  public ExecutionResult {
    results = List.copyOf(results);
  }

  /** Returns standard output as UTF-8 text, with what is not UTF-8 replaced. */
  public String stdoutText() {
    return stdout.toStringUtf8();
  }

  /** Returns standard error as UTF-8 text, with what is not UTF-8 replaced. */
  public String stderrText() {
    return stderr.toStringUtf8();
  }

  /** Says whether the program ran and exited with 0. */
  public boolean succeeded() {
    return finished.succeeded();
  }

  /** Reads a stream to its end. */
  static ExecutionResult of(ExecutionStream stream, int maxBytes) {
    Output stdout = new Output(maxBytes);
    Output stderr = new Output(maxBytes);
    List<ExecutionEvent.Result> results = new ArrayList<>();
    List<ExecutionEvent.CodeError> errors = new ArrayList<>();
    ExecutionEvent.Finished finished =
        stream.await(
            new ExecutionListener() {
              @Override
              public void onStdout(ExecutionEvent.Stdout event) {
                stdout.add(event.data());
              }

              @Override
              public void onStderr(ExecutionEvent.Stderr event) {
                stderr.add(event.data());
              }

              @Override
              public void onResult(ExecutionEvent.Result event) {
                results.add(event);
              }

              @Override
              public void onCodeError(ExecutionEvent.CodeError event) {
                errors.add(event);
              }
            });
    return new ExecutionResult(
        stdout.bytes(),
        stderr.bytes(),
        stdout.truncated || stderr.truncated,
        results,
        errors.stream().findFirst(),
        finished);
  }

  /** The beginning of an output. */
  private static final class Output {
    private final ByteString.Output bytes = ByteString.newOutput();
    private int left;
    private boolean truncated;

    Output(int maxBytes) {
      left = maxBytes;
    }

    void add(ByteString data) {
      int length = Math.min(left, data.size());
      truncated |= length < data.size();
      left -= length;
      byte[] kept = data.substring(0, length).toByteArray();
      bytes.write(kept, 0, length);
    }

    ByteString bytes() {
      return bytes.toByteString();
    }
  }
}
