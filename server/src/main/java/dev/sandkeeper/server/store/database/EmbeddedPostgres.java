package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.random.RandomGenerator;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A PostgreSQL of the server's own: made at the first start, kept between starts, reachable from
 * this machine only and with a password only.
 */
public final class EmbeddedPostgres implements AutoCloseable {
  /** The role that creates the others; nothing else uses it. */
  static final String SUPERUSER = "postgres";

  private static final Logger logger = LoggerFactory.getLogger(EmbeddedPostgres.class);
  private static final String MAJOR_VERSION = "18";
  private static final Duration START_TIMEOUT = Duration.ofMinutes(2);
  private static final Duration STOP_TIMEOUT = Duration.ofSeconds(30);
  private static final Duration RESTART_PAUSE = Duration.ofSeconds(2);
  private static final long MAX_LOG_BYTES = 8L << 20;
  // Somebody else may take a free port between our finding it and PostgreSQL's.
  private static final int FREE_PORT_ATTEMPTS = 3;

  private final Path home;
  private final Path cluster;
  private final int port;
  private final int maxConnections;
  private final Passwords passwords;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition closing = lock.newCondition();

  /** The one that runs, or ran last; guarded by {@link #lock}. */
  private Process process;

  /** Guarded by {@link #lock}. */
  private boolean closed;

  private EmbeddedPostgres(
      Process process, Path home, Path cluster, int port, int maxConnections, Passwords passwords) {
    this.process = process;
    this.home = home;
    this.cluster = cluster;
    this.port = port;
    this.maxConnections = maxConnections;
    this.passwords = passwords;
  }

  /**
   * Starts the database of a data folder, making it at the first time and stopping first what a
   * killed server left running.
   *
   * @param dataFolder the locked folder; the database lives in {@code postgresql} below it
   * @param port the port on 127.0.0.1; 0 for any that is free
   * @param maxConnections how many connections it accepts, at least 1
   * @param random the source of its passwords, in production a secure one
   * @throws DatabaseException when it cannot be started
   */
  public static EmbeddedPostgres start(
      DataFolder dataFolder, int port, int maxConnections, RandomGenerator random) {
    Path folder = dataFolder.path().resolve("postgresql");
    try {
      Files.createDirectories(folder);
      Path home = PostgresBinaries.unpack(folder);
      Path cluster = folder.resolve("cluster");
      Passwords passwords = Passwords.readOrCreate(folder.resolve("passwords"), random);
      if (Files.exists(cluster)) {
        checkVersion(cluster);
        OrphanedPostgres.stop(cluster, program(home, "pg_ctl"), STOP_TIMEOUT);
      } else {
        initialise(home, cluster, passwords);
      }
      return launch(folder, home, cluster, port, maxConnections, passwords);
    } catch (IOException e) {
      throw new DatabaseException("The embedded database in " + folder + " does not start.", e);
    }
  }

  /** From now on starts it again whenever it ends by itself, until it is closed. */
  void keepRunning() {
    Thread.ofVirtual().name("postgresql-supervisor").start(this::supervise);
  }

  /** Returns the URL of one of its databases. */
  String url(String database) {
    return "jdbc:postgresql://127.0.0.1:" + port + "/" + database;
  }

  Passwords passwords() {
    return passwords;
  }

  /** Returns its process id. */
  long processId() {
    return current().pid();
  }

  /** Returns the folder of its files. */
  Path cluster() {
    return cluster;
  }

  /** Stops it; open connections are ended. Everything committed is kept. */
  @Override
  public void close() {
    lock.lock();
    try {
      closed = true;
      closing.signalAll();
      if (process.isAlive()) {
        OrphanedPostgres.stopBy(program(home, "pg_ctl"), cluster, STOP_TIMEOUT);
      }
    } catch (IOException e) {
      throw new DatabaseException("The embedded database does not stop.", e);
    } finally {
      lock.unlock();
    }
  }

  private Process current() {
    lock.lock();
    try {
      return process;
    } finally {
      lock.unlock();
    }
  }

  /** Waits for its end and starts it again, until it is closed. */
  private void supervise() {
    try {
      do {
        current().waitFor();
      } while (startAgain());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /**
   * Returns false when it ended because it was closed; true when its end is to be awaited again.
   */
  private boolean startAgain() throws InterruptedException {
    lock.lock();
    try {
      if (closed) {
        return false;
      }
      logger
          .atError()
          .addKeyValue("exitCode", process.exitValue())
          .log("The embedded database ended by itself; starting it again.");
      OrphanedPostgres.stop(cluster, program(home, "pg_ctl"), STOP_TIMEOUT);
      Path log = log(folder(cluster));
      Process next = spawn(home, cluster, port, maxConnections, log);
      if (becomesReady(next, cluster)) {
        process = next;
        logger.atInfo().addKeyValue("processId", next.pid()).log("The embedded database is back.");
        return true;
      }
      logger
          .atError()
          .addKeyValue("lastWords", lastLine(log))
          .log("The embedded database does not start; trying again.");
    } catch (IOException | DatabaseException e) {
      logger.atError().setCause(e).log("The embedded database does not start; trying again.");
    } finally {
      lock.unlock();
    }
    return !awaitClosed(RESTART_PAUSE);
  }

  private boolean awaitClosed(Duration timeout) throws InterruptedException {
    lock.lock();
    try {
      long nanos = timeout.toNanos();
      while (!closed && nanos > 0) {
        nanos = closing.awaitNanos(nanos);
      }
      return closed;
    } finally {
      lock.unlock();
    }
  }

  private static EmbeddedPostgres launch(
      Path folder, Path home, Path cluster, int port, int maxConnections, Passwords passwords)
      throws IOException {
    Path log = log(folder);
    for (int attempt = 1; ; attempt++) {
      int usedPort = port == 0 ? freePort() : port;
      Process process = spawn(home, cluster, usedPort, maxConnections, log);
      if (becomesReady(process, cluster)) {
        logger
            .atInfo()
            .addKeyValue("port", usedPort)
            .addKeyValue("processId", process.pid())
            .log("The embedded database runs.");
        return new EmbeddedPostgres(process, home, cluster, usedPort, maxConnections, passwords);
      }
      if (port != 0 || attempt == FREE_PORT_ATTEMPTS) {
        throw new DatabaseException(
            "The embedded database ended at its start. Its last words, from "
                + log
                + ": "
                + lastLine(log));
      }
    }
  }

  private static Process spawn(Path home, Path cluster, int port, int maxConnections, Path log)
      throws IOException {
    return Programs.postgres(
            program(home, "postgres"),
            "-D",
            cluster.toString(),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "port=" + port,
            // The JDBC driver speaks TCP; a socket would only be one more way in.
            "-c",
            "unix_socket_directories=",
            "-c",
            "max_connections=" + maxConnections,
            // Given here so that no file of the data folder can say otherwise.
            "-c",
            "fsync=on",
            "-c",
            "synchronous_commit=on",
            "-c",
            "full_page_writes=on",
            "-c",
            "timezone=UTC",
            "-c",
            "log_timezone=UTC",
            "-c",
            "log_checkpoints=off",
            "-c",
            "log_min_messages=warning")
        .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
        .start();
  }

  /** Waits until it answers; false when it ended instead. */
  private static boolean becomesReady(Process process, Path cluster) throws IOException {
    long deadline = System.nanoTime() + START_TIMEOUT.toNanos();
    while (System.nanoTime() - deadline < 0) {
      Optional<PostmasterFile> postmaster = PostmasterFile.read(cluster);
      if (postmaster.isPresent()
          && postmaster.get().processId() == process.pid()
          && postmaster.get().isReady()) {
        return true;
      }
      if (ended(process)) {
        return false;
      }
    }
    process.destroyForcibly();
    throw new DatabaseException("The embedded database does not answer within " + START_TIMEOUT);
  }

  /** Waits a moment for its end, which is also what paces the wait for its being ready. */
  private static boolean ended(Process process) throws IOException {
    try {
      return process.waitFor(5, TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      process.destroy();
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  /** Makes the files under another name first: a folder with the right name is complete. */
  private static void initialise(Path home, Path cluster, Passwords passwords) throws IOException {
    logger.atInfo().addKeyValue("folder", cluster).log("Making the embedded database.");
    Path unfinished = cluster.resolveSibling("cluster-unfinished");
    Path passwordFile = cluster.resolveSibling("superuser-password");
    deleteTree(unfinished);
    Files.deleteIfExists(passwordFile);
    Files.createFile(
        passwordFile,
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    try {
      Files.writeString(passwordFile, passwords.superuser() + "\n");
      Programs.run(
          Programs.postgres(
              program(home, "initdb"),
              "--pgdata=" + unfinished,
              "--username=" + SUPERUSER,
              "--pwfile=" + passwordFile,
              "--auth=scram-sha-256",
              "--encoding=UTF8",
              "--no-locale"));
    } finally {
      Files.delete(passwordFile);
    }
    Files.move(unfinished, cluster, StandardCopyOption.ATOMIC_MOVE);
  }

  private static void checkVersion(Path cluster) throws IOException {
    String version = Files.readString(cluster.resolve("PG_VERSION")).strip();
    if (!version.equals(MAJOR_VERSION)) {
      throw new DatabaseException(
          "The database in %s is of PostgreSQL %s (expected: %s). Upgrade it with pg_upgrade."
              .formatted(cluster, version, MAJOR_VERSION));
    }
  }

  private static Path program(Path home, String name) {
    return home.resolve("bin").resolve(name);
  }

  private static Path folder(Path cluster) {
    return Objects.requireNonNull(cluster.getParent(), "cluster");
  }

  private static Path log(Path folder) throws IOException {
    Path log = folder.resolve("postgresql.log");
    if (Files.exists(log) && Files.size(log) > MAX_LOG_BYTES) {
      Files.move(log, folder.resolve("postgresql.log.1"), StandardCopyOption.REPLACE_EXISTING);
    }
    return log;
  }

  private static String lastLine(Path log) throws IOException {
    List<String> lines = Files.exists(log) ? Files.readAllLines(log) : List.of();
    return lines.stream()
        .filter(line -> line.contains("FATAL") || line.contains("PANIC"))
        .reduce((first, second) -> second)
        .orElseGet(() -> lines.isEmpty() ? "(none)" : lines.getLast());
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.ofLiteral("127.0.0.1"))) {
      return socket.getLocalPort();
    }
  }

  private static void deleteTree(Path folder) throws IOException {
    if (!Files.exists(folder)) {
      return;
    }
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
