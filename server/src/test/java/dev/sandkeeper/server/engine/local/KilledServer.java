package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/** A server for a test to kill: makes a sandbox, says so, and waits. */
final class KilledServer {

  private KilledServer() {}

  /** Takes the state folder and the sandbox's id. */
  public static void main(String[] arguments) throws Exception {
    LocalEngine engine = new LocalEngine(LocalEngineSettings.of(Path.of(arguments[0])));
    EngineSandbox sandbox =
        engine.create(
            new SandboxSpec(
                new SandboxId(arguments[1]), 3, 1, 256, 64, 64, Map.of(), Duration.ofMinutes(1)));
    EngineFixture.run(sandbox, EngineFixture.python("kept = 6"));
    System.out.println("created");
    Thread.currentThread().join();
  }
}
