package dev.sandkeeper.server.execution;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How much of an execution's events is kept, and for how long.
 *
 * @param journalBytes how many bytes of events, and how many may be unread by the starting stream
 *     before the program is held back
 * @param keep for how long after the end
 */
public record Retention(long journalBytes, Duration keep) {
  private static final String FILE = "retention";

  /** Leaves it in a journal's folder for a later server. */
  void write(Path folder) throws IOException {
    Files.writeString(folder.resolve(FILE), journalBytes + " " + keep.toMillis());
  }

  /** Reads what an earlier server left in a journal's folder. */
  static Retention read(Path folder, Retention standard) throws IOException {
    try {
      String[] words = Files.readString(folder.resolve(FILE)).split(" ", -1);
      return new Retention(Long.parseLong(words[0]), Duration.ofMillis(Long.parseLong(words[1])));
    } catch (NoSuchFileException e) {
      return standard;
    }
  }
}
