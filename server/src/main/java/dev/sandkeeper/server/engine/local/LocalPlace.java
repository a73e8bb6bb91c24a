package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Where an engine runs its sandboxes.
 *
 * @param groups the control groups, which are the same for two engines when this is: the boot of
 *     the machine, and the kernel's number of the folder
 * @param state the engine's state folder
 */
record LocalPlace(String groups, Path state) {
  private static final Path BOOT_ID = Path.of("/proc/sys/kernel/random/boot_id");
  private static final String SCHEME = "local:";

  /** Returns the place of an engine on this machine. */
  static LocalPlace of(CgroupTree tree, Path state) {
    try {
      String boot = Files.readString(BOOT_ID).strip();
      return new LocalPlace(boot + "-" + tree.number(), state);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "cannot tell which machine this is", e);
    }
  }

  /** Reads what {@link #toString} wrote; empty when it is of another engine. */
  static Optional<LocalPlace> parse(String text) {
    int end = text.indexOf(':', SCHEME.length());
    if (!text.startsWith(SCHEME) || end < 0) {
      return Optional.empty();
    }
    return Optional.of(
        new LocalPlace(text.substring(SCHEME.length(), end), Path.of(text.substring(end + 1))));
  }

  @Override
  public String toString() {
    return SCHEME + groups + ":" + state;
  }
}
