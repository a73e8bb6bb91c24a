package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Stops the PostgreSQL that a killed server left running on our data folder.
 *
 * <p>Called with the data folder locked, so no living server uses what is found. A process id is
 * only a number that anything may have by now: nothing is signalled unless its command line and its
 * start time prove it to be the PostgreSQL that wrote the file.
 */
final class OrphanedPostgres {
  private static final Logger logger = LoggerFactory.getLogger(OrphanedPostgres.class);
  // The file has whole seconds and is written a moment after the process began.
  private static final Duration START_TIME_TOLERANCE = Duration.ofSeconds(5);

  private static final Duration HELPERS_TIMEOUT = Duration.ofSeconds(10);
  private static final long LOOK_NANOS = 2_000_000;

  private OrphanedPostgres() {}

  /**
   * Leaves the data folder without a running PostgreSQL.
   *
   * @param cluster the data folder of PostgreSQL
   * @param pgCtl PostgreSQL's own control program
   * @param timeout how long it may take to stop
   * @throws DatabaseException when another PostgreSQL than the server's own runs on the folder
   */
  static void stop(Path cluster, Path pgCtl, Duration timeout) throws IOException {
    Path file = PostmasterFile.path(cluster);
    Optional<PostmasterFile> found = PostmasterFile.read(cluster);
    if (found.isEmpty()) {
      endHelpers(cluster);
      Files.deleteIfExists(file);
      return;
    }
    PostmasterFile postmaster = found.get();
    List<String> command = commandLine(postmaster.processId());
    if (isPostgresOn(cluster, command) && startedThen(postmaster)) {
      logger
          .atWarn()
          .addKeyValue("processId", postmaster.processId())
          .log("Stopping the database that a killed server left running.");
      stopBy(pgCtl, cluster, timeout);
    } else if (!command.isEmpty() && isPostgres(command.getFirst())) {
      throw new DatabaseException(
          "Process %d may be a PostgreSQL that runs on %s, but it is not one of this server's."
                  .formatted(postmaster.processId(), cluster)
              + " Stop it, or delete "
              + file
              + " if it runs on another folder.");
    } else {
      logger
          .atWarn()
          .addKeyValue("processId", postmaster.processId())
          .log("The database was not shut down cleanly; it will recover.");
      endHelpers(cluster);
      Files.delete(file);
    }
  }

  /**
   * Leaves none of the helpers of a main process that was killed: one that is at work goes on
   * writing until it notices, and its file, which is deleted next, is all that would keep a new
   * PostgreSQL from starting beside it.
   */
  private static void endHelpers(Path cluster) {
    long limit = System.nanoTime() + HELPERS_TIMEOUT.toNanos();
    List<ProcessHandle> helpers = helpers(cluster);
    while (!helpers.isEmpty()) {
      if (System.nanoTime() - limit >= 0) {
        throw new DatabaseException(
            "Processes of a killed database still run on " + cluster + ": " + helpers);
      }
      helpers.forEach(ProcessHandle::destroyForcibly);
      LockSupport.parkNanos(LOOK_NANOS);
      helpers = helpers(cluster);
    }
  }

  /** All of PostgreSQL's processes work in their data folder. */
  private static List<ProcessHandle> helpers(Path cluster) {
    return ProcessHandle.allProcesses()
        .filter(process -> worksIn(cluster, process.pid()))
        .filter(process -> commandLine(process.pid()).stream().anyMatch(OrphanedPostgres::isHelper))
        .toList();
  }

  private static boolean worksIn(Path cluster, long processId) {
    try {
      return Files.readSymbolicLink(Path.of("/proc", Long.toString(processId), "cwd"))
          .equals(cluster);
    } catch (IOException e) {
      return false; // it is gone, or not ours
    }
  }

  /** A helper says what it does in place of its command line. */
  private static boolean isHelper(String word) {
    return word.startsWith("postgres: ") || isPostgres(word);
  }

  /** Stops what runs on the folder: without waiting for clients, then without a checkpoint. */
  static void stopBy(Path pgCtl, Path cluster, Duration timeout) throws IOException {
    try {
      Programs.run(stopCommand(pgCtl, cluster, timeout, "fast"));
    } catch (IOException e) {
      logger.atWarn().setCause(e).log("The database does not stop; it will recover at its start.");
      Programs.run(stopCommand(pgCtl, cluster, timeout, "immediate"));
    }
  }

  private static ProcessBuilder stopCommand(Path pgCtl, Path cluster, Duration timeout, String mode)
      throws IOException {
    return Programs.postgres(
        pgCtl,
        "stop",
        "--pgdata=" + cluster,
        "--mode=" + mode,
        "--wait",
        "--timeout=" + Math.max(1, timeout.toSeconds()));
  }

  /** Empty when the process is gone or its command line is not for us to see. */
  private static List<String> commandLine(long processId) {
    try {
      String raw =
          Files.readString(
              Path.of("/proc", Long.toString(processId), "cmdline"), StandardCharsets.ISO_8859_1);
      return List.of(raw.split("\0")).stream().filter(part -> !part.isEmpty()).toList();
    } catch (IOException e) {
      return List.of();
    }
  }

  private static boolean isPostgres(String program) {
    return program.equals("postgres") || program.endsWith("/postgres");
  }

  private static boolean isPostgresOn(Path cluster, List<String> command) {
    return command.size() >= 3
        && isPostgres(command.getFirst())
        && command.get(1).equals("-D")
        && command.get(2).equals(asRead(cluster));
  }

  /** The path as it looks when its bytes are read one by one, as {@link #commandLine} does. */
  private static String asRead(Path path) {
    return new String(
        path.toString().getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
  }

  private static boolean startedThen(PostmasterFile postmaster) {
    Optional<Instant> start =
        ProcessHandle.of(postmaster.processId()).flatMap(process -> process.info().startInstant());
    return start
        .map(time ->
            Duration.between(time, postmaster.startTime()).abs().compareTo(START_TIME_TOLERANCE)
                <= 0)
        .orElse(false);
  }
}
