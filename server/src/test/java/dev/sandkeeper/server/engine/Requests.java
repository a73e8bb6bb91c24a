package dev.sandkeeper.server.engine;

import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.random.RandomGenerator;

/** Short ways to say what an engine is to do. */
public class Requests {

  private static final String LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

  /** Some hundred milliseconds of a sandbox's memory. */
  private static final long SOME_TIME = 1_500;

  private static final long UNMETERED_NANOS = 300_000_000;

  private static final RandomGenerator RANDOM = new SecureRandom();

  protected Requests() {}

  public static String name() {
    StringBuilder name = new StringBuilder();
    for (int i = 0; i < 20; i++) {
      name.append(LETTERS.charAt(RANDOM.nextInt(LETTERS.length())));
    }
    return name.toString();
  }

  public static SandboxSpec spec() {
    return spec(Duration.ofMinutes(5));
  }

  public static SandboxSpec spec(Duration paid) {
    return spec(paid, false);
  }

  public static SandboxSpec spec(Duration paid, boolean network) {
    return new SandboxSpec(
        new SandboxId(name()),
        7,
        Optional.empty(),
        Optional.empty(),
        2,
        256,
        64,
        64,
        Map.of("OF_SANDBOX", "yes"),
        List.of(),
        network,
        paid);
  }

  /** Returns the usual one on a runtime. */
  public static SandboxSpec spec(Duration paid, Optional<String> runtime) {
    SandboxSpec usual = spec(paid);
    return new SandboxSpec(
        usual.id(),
        usual.generation(),
        runtime,
        usual.engineTemplate(),
        usual.cpuCores(),
        usual.memoryMib(),
        usual.diskMib(),
        usual.maxProcesses(),
        usual.environment(),
        usual.imports(),
        usual.network(),
        usual.paid());
  }

  /** Returns the same, with a way out. */
  static SandboxSpec online(SandboxSpec spec) {
    return new SandboxSpec(
        spec.id(),
        spec.generation(),
        spec.runtime(),
        spec.engineTemplate(),
        spec.cpuCores(),
        spec.memoryMib(),
        spec.diskMib(),
        spec.maxProcesses(),
        spec.environment(),
        spec.imports(),
        true,
        spec.paid());
  }

  public static ExecutionSpec command(Duration deadline, String... argv) {
    return of(new ExecutionSpec.Command(List.of(argv)), deadline, "");
  }

  public static ExecutionSpec of(ExecutionSpec.Run run, Duration deadline, String stdin) {
    return new ExecutionSpec(
        new ExecutionId(name()),
        run,
        Optional.empty(),
        Map.of(),
        Stdio.of(stdin.getBytes(StandardCharsets.UTF_8)),
        deadline);
  }

  /** Returns a command in a shell whose input stays open. */
  public static ExecutionSpec open(String line, String stdin, Optional<Terminal> terminal) {
    return new ExecutionSpec(
        new ExecutionId(name()),
        new ExecutionSpec.Command(List.of("/bin/bash", "-c", line)),
        Optional.empty(),
        Map.of(),
        new Stdio(stdin.getBytes(StandardCharsets.UTF_8), true, terminal),
        Duration.ofMinutes(5));
  }

  public static ExecutionSpec.Code python(String source) {
    return new ExecutionSpec.Code(ExecutionSpec.Language.PYTHON, source, Optional.empty());
  }

  public static ExecutionSpec.Code javaScript(String source) {
    return code(ExecutionSpec.Language.JAVASCRIPT, source);
  }

  /** Code in the default context of its language. */
  public static ExecutionSpec.Code code(ExecutionSpec.Language language, String source) {
    return new ExecutionSpec.Code(language, source, Optional.empty());
  }

  public static ExecutionSpec.Code bash(String source) {
    return new ExecutionSpec.Code(ExecutionSpec.Language.BASH, source, Optional.empty());
  }

  /** Runs something to its end. */
  public static Recording run(EngineSandbox sandbox, ExecutionSpec.Run run) throws Exception {
    return run(sandbox, of(run, Duration.ofSeconds(30), ""));
  }

  /** Runs something to its end. */
  public static Recording run(EngineSandbox sandbox, ExecutionSpec spec) throws Exception {
    Recording recording = new Recording();
    EngineExecution ignored = sandbox.start(spec, recording);
    recording.await();
    return recording;
  }

  /** Starts lines of a shell; returns once they run. */
  public static Recording startBash(EngineSandbox sandbox, String source) throws Exception {
    Recording recording = new Recording();
    EngineExecution ignored =
        sandbox.start(of(bash(source), Duration.ofSeconds(30), ""), recording);
    recording.awaitStarted();
    return recording;
  }

  /**
   * Waits until memory was metered for a while, which does not take a running program; where none
   * is, for that while.
   */
  public static UsageReading laterUsage(EngineSandbox sandbox) {
    UsageReading before = sandbox.usage();
    long start = System.nanoTime();
    await()
        .until(() ->
            before.memoryMibMillis().isPresent()
                ? sandbox.usage().memoryMibMillis().getAsLong()
                    > before.memoryMibMillis().getAsLong() + SOME_TIME
                : System.nanoTime() - start > UNMETERED_NANOS);
    return sandbox.usage();
  }

  /** Returns a part of a file. */
  public static byte[] read(EngineFiles files, String path, long offset, long most) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    files.read(
        path,
        offset,
        most,
        bytes -> {
          byte[] copy = new byte[bytes.remaining()];
          bytes.get(copy);
          content.writeBytes(copy);
        });
    return content.toByteArray();
  }
}
