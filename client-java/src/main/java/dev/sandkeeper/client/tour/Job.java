package dev.sandkeeper.client.tour;

import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.Sandbox;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/** What an agent does: makes a sandbox, runs code in it, moves files, ends it. */
final class Job {
  private static final int STEPS = 6;

  /** Prints a line each half second: only a stream shows them half a second apart. */
  private static final String PYTHON =
      """
      import time
      for step in range(1, 7):
          print(f"step {step} of 6: {step ** 2 = }", flush=True)
          time.sleep(0.5)
      """;

  /**
   * The time between the first and the last line is five halves of a second; less means: not
   * streamed.
   */
  private static final Duration LEAST_SPREAD = Duration.ofSeconds(2);

  private static final String SHELL =
      "echo \"$(id -un) on $(uname -s), $(nproc) cores visible\"; ls / | xargs";

  private final SandkeeperClient client;
  private final PrintStream out;
  private final LongSupplier nanoTime;

  /**
   * @param nanoTime a monotonic clock, in nanoseconds from any start
   */
  Job(SandkeeperClient client, PrintStream out, LongSupplier nanoTime) {
    this.client = client;
    this.out = out;
    this.nanoTime = nanoTime;
  }

  LeasedSandbox createSandbox(CreateSandboxRequest request) {
    long start = nanoTime.getAsLong();
    LeasedSandbox leased = LeasedSandbox.create(client, request);
    Duration ready = since(start);
    Sandbox sandbox = leased.sandbox().describe();
    out.printf(
        Locale.ROOT,
        "%nSandbox %s is ready after %s: %d cores, %d MiB, tier %s, engine %s, ends itself after %s%n",
        sandbox.getSandboxId(),
        Text.seconds(ready),
        sandbox.getResources().getCpuCores(),
        sandbox.getResources().getMemoryMib(),
        sandbox.getTier(),
        sandbox.getEngine(),
        Text.seconds(sandbox.getTimeout()));
    return leased;
  }

  void runPython(SandboxHandle sandbox) {
    out.printf("%nPython, each line when it arrives:%n");
    List<Duration> arrivals = new ArrayList<>();
    long start = nanoTime.getAsLong();
    try (ExecutionStream stream = sandbox.python(PYTHON).stream()) {
      finish(
          stream,
          line -> {
            Duration arrival = since(start);
            arrivals.add(arrival);
            out.printf("    +%s  %s%n", Text.seconds(arrival), line);
          });
    }
    if (arrivals.size() != STEPS) {
      throw new TourFailure("Python printed " + arrivals.size() + " lines, not " + STEPS);
    }
    Duration spread = arrivals.get(STEPS - 1).minus(arrivals.get(0));
    if (spread.compareTo(LEAST_SPREAD) < 0) {
      throw new TourFailure(
          "the output did not stream: all of it came within " + Text.seconds(spread));
    }
  }

  void runShell(SandboxHandle sandbox) {
    out.printf("%nShell: %s%n", SHELL);
    try (ExecutionStream stream = sandbox.shell(SHELL).stream()) {
      finish(stream, line -> out.println("    " + line));
    }
  }

  /** Sends a file in, lets a program change it, and fetches the result. */
  void moveFile(SandboxHandle sandbox) throws IOException {
    out.printf("%nFile: upload, sort in the sandbox, download:%n");
    Path folder = Files.createTempDirectory("sandkeeper-tour");
    Path source = folder.resolve("words.txt");
    Path target = folder.resolve("sorted.txt");
    try {
      Files.writeString(source, "sand\nkeeper\nbucket\nspade\n", StandardCharsets.UTF_8);
      sandbox.files().upload(source, "words.txt");
      if (!Arrays.equals(Files.readAllBytes(source), sandbox.files().download("words.txt"))) {
        throw new TourFailure("the downloaded file differs from the uploaded one");
      }
      try (ExecutionStream stream =
          sandbox.shell("LC_ALL=C sort words.txt > sorted.txt").stream()) {
        finish(stream, line -> out.println("    " + line));
      }
      sandbox.files().download("sorted.txt", target);
      List<String> sorted = Files.readAllLines(target, StandardCharsets.UTF_8);
      if (!sorted.equals(List.of("bucket", "keeper", "sand", "spade"))) {
        throw new TourFailure("the sorted file is not sorted: " + sorted);
      }
      out.println("    " + String.join(", ", sorted));
    } finally {
      Files.deleteIfExists(source);
      Files.deleteIfExists(target);
      Files.deleteIfExists(folder);
    }
  }

  void end(LeasedSandbox sandbox) {
    long start = nanoTime.getAsLong();
    sandbox.close();
    out.printf("%nSandbox ended in %s%n", Text.seconds(since(start)));
  }

  private void finish(ExecutionStream stream, Consumer<String> onLine) {
    LineReader stdout = new LineReader(onLine);
    LineReader stderr = new LineReader(line -> out.println("    stderr: " + line));
    ExecutionEvent.Finished finished = stream.await(stdout, stderr);
    stdout.finish();
    stderr.finish();
    String outcome =
        finished.exitCode().isPresent()
            ? "exit code " + finished.exitCode().getAsInt()
            : "no exit code, " + Text.word(finished.reason(), "FINISH_REASON_");
    out.printf(
        "    %s after %s, %s, cost USD %s%n",
        outcome,
        Text.seconds(finished.duration()),
        finished.cpuMicros().isPresent()
            ? Text.seconds(Duration.ofNanos(finished.cpuMicros().getAsLong() * 1000))
                + " of processor time"
            : "processor time not measured",
        Text.usd(finished.costNanoUsd()));
    if (!finished.succeeded()) {
      throw new TourFailure("the program failed: " + outcome);
    }
  }

  private Duration since(long startNanos) {
    return Duration.ofNanos(nanoTime.getAsLong() - startNanos);
  }
}
