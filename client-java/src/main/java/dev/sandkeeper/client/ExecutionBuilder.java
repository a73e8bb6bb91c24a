package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.ArtifactSelection;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.Terminal;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;

/**
 * Something to run in a sandbox, and how. Made by {@link SandboxHandle}; started by {@link #run()}
 * for what came of it, {@link #stream()} for its events, or {@link #start} for callbacks.
 *
 * <p>Working directory, environment, standard input and terminal are for commands and Bash only.
 */
public final class ExecutionBuilder {
  private static final int DEFAULT_MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

  private final SandkeeperClient client;
  private final ExecuteRequest.Builder request;
  private int maxOutputBytes = DEFAULT_MAX_OUTPUT_BYTES;

  ExecutionBuilder(SandkeeperClient client, ExecuteRequest.Builder request) {
    this.client = client;
    this.request = request;
  }

  /** Runs in this directory; relative to {@code /home/user}, which is also the default. */
  public ExecutionBuilder workingDirectory(String path) {
    request.setWorkingDirectory(path);
    return this;
  }

  /** Sets an environment variable, on top of the sandbox's. */
  public ExecutionBuilder environment(String name, String value) {
    request.putEnvironment(name, value);
    return this;
  }

  /** Sets environment variables, on top of the sandbox's. */
  public ExecutionBuilder environment(Map<String, String> variables) {
    request.putAllEnvironment(variables);
    return this;
  }

  /**
   * Puts a file in place before it starts; what is there is replaced.
   *
   * @param path inside the sandbox; relative to {@code /home/user}
   */
  public ExecutionBuilder input(String path, byte[] bytes) {
    request.putInputs(path, ByteString.copyFrom(bytes));
    return this;
  }

  /**
   * Keeps files when it is over, for {@link SandkeeperClient#readArtifacts}, also when the sandbox
   * is gone.
   *
   * @param path the directory inside the sandbox; relative to {@code /home/user}
   * @param patterns which files below it, such as {@code **}{@code /*.png}; none for all
   */
  public ExecutionBuilder artifacts(String path, String... patterns) {
    request.setArtifacts(
        ArtifactSelection.newBuilder().setPath(path).addAllPatterns(List.of(patterns)));
    return this;
  }

  /** Lets the program read these bytes, at most 10 MiB, and then the end of its input. */
  public ExecutionBuilder stdin(byte[] bytes) {
    request.setStdin(ByteString.copyFrom(bytes));
    return this;
  }

  /** Lets the program read this text, in UTF-8, and then the end of its input. */
  public ExecutionBuilder stdin(String text) {
    request.setStdin(ByteString.copyFromUtf8(text));
    return this;
  }

  /**
   * Keeps the program's input open behind what {@code stdin} gave, for {@link
   * SandkeeperClient#input(String)}, until that is closed.
   */
  public ExecutionBuilder keepStdinOpen() {
    request.setKeepStdinOpen(true);
    return this;
  }

  /**
   * Runs it in a terminal of that size, an xterm with 256 colours; all that it writes comes as
   * standard output. {@link SandkeeperClient#resizeTerminal} changes the size.
   *
   * @param rows how many lines, 1 to 65,535
   * @param columns how many characters a line has, 1 to 65,535
   */
  public ExecutionBuilder terminal(int rows, int columns) {
    request.setTerminal(Terminal.newBuilder().setRows(rows).setColumns(columns));
    return this;
  }

  /**
   * Sets how long the program may run, 1 millisecond to 24 hours; then its whole process tree is
   * ended. 5 minutes by default.
   */
  public ExecutionBuilder deadline(Duration deadline) {
    request.setDeadline(Times.toProto(deadline));
    return this;
  }

  /**
   * Gives the run an id of the caller's own: running the same again with it attaches to the same
   * execution instead of starting a second. By default each run gets a new one.
   */
  public ExecutionBuilder requestId(UUID id) {
    request.setRequestId(id.toString());
    return this;
  }

  /**
   * Sets how much of each output {@link #run()} keeps; 16 MiB by default. The rest is dropped.
   *
   * @param bytes 0 or more
   * @throws IllegalArgumentException when it is less
   */
  public ExecutionBuilder maxOutputBytes(int bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException("maxOutputBytes: " + bytes + " (expected: >= 0)");
    }
    maxOutputBytes = bytes;
    return this;
  }

  /**
   * Runs it and returns what came of it. A program that fails is a result; only a call that fails
   * is an exception.
   *
   * @throws SandkeeperException when the server refuses to run it, or the stream failed for good
   */
  public ExecutionResult run() {
    try (ExecutionStream stream = stream()) {
      return ExecutionResult.of(stream, maxOutputBytes);
    }
  }

  /** Runs it and returns its events as they come. */
  public ExecutionStream stream() {
    return client.execute(request.build());
  }

  /** Runs it and brings its events to a listener; see {@link SandkeeperClient#execute}. */
  public CompletableFuture<ExecutionEvent.Finished> start(ExecutionListener listener) {
    return client.execute(request.build(), listener);
  }
}
