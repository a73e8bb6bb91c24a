package dev.sandkeeper.server.execution;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Which files of an execution are kept when it is over.
 *
 * @param path the directory, relative to the home, without a NUL
 * @param patterns of the paths below it, without a NUL; empty for all
 */
public record ArtifactSelection(String path, List<String> patterns) {
  private static final String SEPARATOR = "\0";

  /** Copies the list. */
  public ArtifactSelection {
    patterns = List.copyOf(patterns);
  }

  void write(Path file) throws IOException {
    Files.writeString(
        file, String.join(SEPARATOR, Stream.concat(Stream.of(path), patterns.stream()).toList()));
  }

  static ArtifactSelection read(Path file) throws IOException {
    List<String> words = List.of(Files.readString(file).split(SEPARATOR, -1));
    return new ArtifactSelection(words.getFirst(), words.subList(1, words.size()));
  }
}
