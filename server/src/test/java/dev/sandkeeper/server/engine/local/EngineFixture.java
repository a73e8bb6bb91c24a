package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Requests;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A local engine over a folder of its own, with short ways to start things. Outside the namespace
 * of {@code deploy/lib/in-namespace} it fails to be made, with the message of what to do.
 */
final class EngineFixture extends Requests implements AutoCloseable {

  private final Path folder;
  private final LocalEngineSettings settings;
  private LocalEngine engine;

  EngineFixture() throws IOException {
    this(LocalEngineSettings.DEFAULT_RUNTIME);
  }

  /** Over the runtime of that name. */
  EngineFixture(String runtime) throws IOException {
    folder = Files.createTempDirectory("engine");
    LocalEngineSettings usual = LocalEngineSettings.of(folder.resolve("state"));
    settings =
        new LocalEngineSettings(
            usual.stateFolder(),
            runtime,
            usual.otherRuntimes(),
            usual.node(),
            usual.java(),
            usual.r(),
            usual.cgroupRoot(),
            usual.cgroupParent(),
            usual.startTimeout(),
            usual.sampleInterval());
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

  EngineSandbox create() {
    return engine.create(spec());
  }

  @Override
  public void close() throws IOException {
    engine.list().forEach(instance -> engine.destroy(instance.sandboxId()));
    engine.close();
    FileTrees.delete(folder);
  }
}
