package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * What a running PostgreSQL says about itself in {@code postmaster.pid}. The lines are those of
 * PostgreSQL's miscadmin.h (LOCK_FILE_LINE_...): pid, data folder, start time in seconds, port,
 * socket folder, listen address, shared memory key, status.
 *
 * @param processId its process id
 * @param folder the data folder it runs on, as it names it
 * @param startTime when it started, to the second
 * @param isReady whether it answers
 */
record PostmasterFile(long processId, String folder, Instant startTime, boolean isReady) {
  private static final int STATUS_LINE = 7;

  /** Reads the file of a data folder; empty when there is none or it is not wholly written. */
  static Optional<PostmasterFile> read(Path cluster) throws IOException {
    try {
      return parse(Files.readAllLines(path(cluster), StandardCharsets.UTF_8));
    } catch (NoSuchFileException e) {
      return Optional.empty();
    }
  }

  /** Returns where the file of a data folder is. */
  static Path path(Path cluster) {
    return cluster.resolve("postmaster.pid");
  }

  static Optional<PostmasterFile> parse(List<String> lines) {
    if (lines.size() < 3) {
      return Optional.empty();
    }
    try {
      return Optional.of(
          new PostmasterFile(
              Long.parseLong(lines.get(0).strip()),
              lines.get(1),
              Instant.ofEpochSecond(Long.parseLong(lines.get(2).strip())),
              lines.size() > STATUS_LINE && lines.get(STATUS_LINE).strip().equals("ready")));
    } catch (NumberFormatException e) {
      return Optional.empty();
    }
  }
}
