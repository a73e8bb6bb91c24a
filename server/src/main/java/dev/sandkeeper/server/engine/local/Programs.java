package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Finds programs of the host. */
final class Programs {

  /** Searched after PATH, which an ordinary user may have without them. */
  private static final List<String> SYSTEM_FOLDERS =
      List.of("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin");

  private Programs() {}

  /**
   * Returns the path of a program that lies in {@code /usr}, also behind its links: sandboxes have
   * that folder of the host.
   *
   * @param name its name, looked for in the system folders, or a path
   */
  static Optional<Path> findShared(String name) {
    List<Path> candidates =
        name.contains("/")
            ? List.of(Path.of(name))
            : SYSTEM_FOLDERS.stream().map(folder -> Path.of(folder, name)).toList();
    return candidates.stream().filter(Files::isExecutable).filter(Programs::isShared).findFirst();
  }

  /** Returns whether a file is there and lies in {@code /usr}, also behind its links. */
  static boolean isShared(Path file) {
    try {
      return file.toRealPath().startsWith("/usr");
    } catch (IOException e) {
      return false;
    }
  }

  /**
   * Returns the path of a program.
   *
   * @param name its name, or a path
   * @param need what it is for and how to get it, to end the message with
   * @throws EngineException {@code UNAVAILABLE} when it is not there
   */
  static Path require(String name, String need) {
    if (name.contains("/")) {
      Path path = Path.of(name);
      if (Files.isExecutable(path)) {
        return path.toAbsolutePath();
      }
    } else {
      List<String> folders = new ArrayList<>();
      String path = System.getenv("PATH");
      if (path != null) {
        folders.addAll(List.of(path.split(File.pathSeparator)));
      }
      folders.addAll(SYSTEM_FOLDERS);
      for (String folder : folders) {
        Path candidate = Path.of(folder, name);
        if (!folder.isEmpty() && Files.isExecutable(candidate)) {
          return candidate;
        }
      }
    }
    throw new EngineException(
        EngineException.Kind.UNAVAILABLE, "the program " + name + " is not installed: " + need);
  }
}
