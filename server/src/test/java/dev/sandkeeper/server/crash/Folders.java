package dev.sandkeeper.server.crash;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;

/** Whole folders. */
final class Folders {
  private Folders() {}

  /** Copies a folder with what is in it; symbolic links stay what they are. */
  static void copy(Path from, Path to) throws IOException, InterruptedException {
    int exitCode =
        new ProcessBuilder("cp", "-a", from.toString(), to.toString())
            .inheritIO()
            .start()
            .waitFor();
    if (exitCode != 0) {
      throw new IOException("cannot copy " + from + " to " + to);
    }
  }

  /** Deletes a folder with what is in it. */
  static boolean delete(Path folder) {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(path);
      }
      return true;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
