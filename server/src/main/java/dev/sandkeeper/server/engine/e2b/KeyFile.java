package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Supplier;

/** The key in a file, as it is now: who changes it need not start the server again. */
public final class KeyFile implements Supplier<String> {
  private final Path file;

  /** Names the file, which is yet to be read. */
  public KeyFile(Path file) {
    this.file = file;
  }

  /**
   * Returns the key.
   *
   * @throws EngineException {@code UNAVAILABLE} when the file cannot be read
   */
  @Override
  public String get() {
    try {
      return Files.readString(file).strip();
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "the file of E2B's key cannot be read: " + file, e);
    }
  }
}
