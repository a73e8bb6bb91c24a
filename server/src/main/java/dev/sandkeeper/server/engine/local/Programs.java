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
   * Returns the path of a program, if it is there.
   *
   * @param name its name, looked for by PATH and in the system folders, or a path
   */
  static Optional<Path> find(String name) {
    if (name.contains("/")) {
      return Optional.of(Path.of(name)).filter(Files::isExecutable).map(Path::toAbsolutePath);
    }
    List<String> folders = new ArrayList<>();
    String path = System.getenv("PATH");
    if (path != null) {
      folders.addAll(List.of(path.split(File.pathSeparator)));
    }
    folders.addAll(SYSTEM_FOLDERS);
    return folders.stream()
        .filter(folder -> !folder.isEmpty())
        .map(folder -> Path.of(folder, name))
        .filter(Files::isExecutable)
        .findFirst();
  }

  /**
   * Returns the path of a program.
   *
   * @param name as of {@link #find}
   * @param need what it is for and how to get it, to end the message with
   * @throws EngineException {@code UNAVAILABLE} when it is not there
   */
  static Path require(String name, String need) {
    return find(name)
        .orElseThrow(() ->
            new EngineException(
                EngineException.Kind.UNAVAILABLE,
                "the program " + name + " is not installed: " + need));
  }
}
