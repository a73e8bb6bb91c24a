package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A server for a test to kill: makes a sandbox, pauses it if told to, says so, and waits. */
final class KilledServer {

  private KilledServer() {}

  /** What the third argument is for a sandbox that is to be paused. */
  static final String PAUSED = "paused";

  /** Takes the state folder, the sandbox's id, what it is to be, and the milliseconds paid for. */
  public static void main(String[] arguments) throws Exception {
    LocalEngine engine = new LocalEngine(LocalEngineSettings.of(Path.of(arguments[0])));
    EngineSandbox sandbox =
        engine.create(
            new SandboxSpec(
                new SandboxId(arguments[1]),
                3,
                Optional.empty(),
                Optional.empty(),
                1,
                256,
                64,
                64,
                Map.of(),
                List.of(),
                false,
                Duration.ofMillis(Long.parseLong(arguments[3]))));
    EngineFixture.run(sandbox, EngineFixture.python("kept = 6"));
    if (arguments[2].equals(PAUSED)) {
      sandbox.pause();
    }
    System.out.println("ready");
    Thread.currentThread().join();
  }

  /** Starts one, waits until it is ready, and kills it. */
  static void run(Path state, SandboxId id, String what, Duration paid) throws Exception {
    Process server =
        new ProcessBuilder(
                ProcessHandle.current().info().command().orElseThrow(),
                "-cp",
                System.getProperty("java.class.path"),
                KilledServer.class.getName(),
                state.toString(),
                id.value(),
                what,
                Long.toString(paid.toMillis()))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try {
      assertThat(server.inputReader().readLine()).isEqualTo("ready");
    } finally {
      server.destroyForcibly().waitFor();
    }
  }
}
