package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.engine.Terminal;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.random.RandomGenerator;

/**
 * A local engine over a folder of its own, with short ways to start things. Outside the namespace
 * of {@code deploy/lib/in-namespace} it fails to be made, with the message of what to do.
 */
final class EngineFixture implements AutoCloseable {

  private static final String LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";
  private static final RandomGenerator RANDOM = new SecureRandom();

  private final Path folder;
  private final LocalEngineSettings settings;
  private LocalEngine engine;

  EngineFixture() throws IOException {
    folder = Files.createTempDirectory("engine");
    settings = LocalEngineSettings.of(folder.resolve("state"));
    engine = new LocalEngine(settings);
  }

  LocalEngine engine() {
    return engine;
  }

  LocalEngineSettings settings() {
    return settings;
  }

  /** Lets go of everything and takes it up again, as a server that restarts. */
  void restart() {
    engine.close();
    engine = new LocalEngine(settings);
  }

  static String name() {
    StringBuilder name = new StringBuilder();
    for (int i = 0; i < 20; i++) {
      name.append(LETTERS.charAt(RANDOM.nextInt(LETTERS.length())));
    }
    return name.toString();
  }

  static SandboxSpec spec() {
    return spec(Duration.ofMinutes(5));
  }

  static SandboxSpec spec(Duration paid) {
    return new SandboxSpec(
        new SandboxId(name()), 7, 2, 256, 64, 64, Map.of("OF_SANDBOX", "yes"), List.of(), paid);
  }

  EngineSandbox create() {
    return engine.create(spec());
  }

  static ExecutionSpec command(Duration deadline, String... argv) {
    return of(new ExecutionSpec.Command(List.of(argv)), deadline, "");
  }

  static ExecutionSpec of(ExecutionSpec.Run run, Duration deadline, String stdin) {
    return new ExecutionSpec(
        new ExecutionId(name()),
        run,
        Optional.empty(),
        Map.of(),
        Stdio.of(stdin.getBytes(StandardCharsets.UTF_8)),
        deadline);
  }

  /** Returns a command in a shell whose input stays open. */
  static ExecutionSpec open(String line, String stdin, Optional<Terminal> terminal) {
    return new ExecutionSpec(
        new ExecutionId(name()),
        new ExecutionSpec.Command(List.of("/bin/bash", "-c", line)),
        Optional.empty(),
        Map.of(),
        new Stdio(stdin.getBytes(StandardCharsets.UTF_8), true, terminal),
        Duration.ofMinutes(5));
  }

  static ExecutionSpec.Code python(String source) {
    return new ExecutionSpec.Code(ExecutionSpec.Language.PYTHON, source, Optional.empty());
  }

  static ExecutionSpec.Code javaScript(String source) {
    return code(ExecutionSpec.Language.JAVASCRIPT, source);
  }

  /** Code in the default context of its language. */
  static ExecutionSpec.Code code(ExecutionSpec.Language language, String source) {
    return new ExecutionSpec.Code(language, source, Optional.empty());
  }

  static ExecutionSpec.Code bash(String source) {
    return new ExecutionSpec.Code(ExecutionSpec.Language.BASH, source, Optional.empty());
  }

  /** Runs something to its end. */
  static Recording run(EngineSandbox sandbox, ExecutionSpec.Run run) throws Exception {
    return run(sandbox, of(run, Duration.ofSeconds(30), ""));
  }

  /** Runs something to its end. */
  static Recording run(EngineSandbox sandbox, ExecutionSpec spec) throws Exception {
    Recording recording = new Recording();
    EngineExecution ignored = sandbox.start(spec, recording);
    recording.await();
    return recording;
  }

  @Override
  public void close() throws IOException {
    engine.list().forEach(instance -> engine.destroy(instance.sandboxId()));
    engine.close();
    FileTrees.delete(folder);
  }
}
