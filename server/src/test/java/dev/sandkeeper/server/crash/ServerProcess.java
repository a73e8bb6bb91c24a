package dev.sandkeeper.server.crash;

import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.Main;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.local.LocalEngine;
import dev.sandkeeper.server.engine.local.LocalEngineSettings;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * A server as its own process on a data folder of its own, which can be killed and started again.
 *
 * <p>Closing it ends, by their ids, the server, its database and every process of its sandboxes.
 */
final class ServerProcess implements AutoCloseable {
  private static final Duration START_TIMEOUT = Duration.ofSeconds(45);
  private static final Duration STOP_TIMEOUT = Duration.ofSeconds(30);
  private static final Pattern PORT = Pattern.compile("\"port\":\"?(\\d+)");

  private static @Nullable Path seed;

  private final Path folder;
  private final Map<String, String> environment = new TreeMap<>();
  private final List<String> flags = new ArrayList<>(List.of("-Xmx256m", "-XX:+UseSerialGC"));
  private @Nullable Process process;
  private @Nullable Client client;
  private int starts;

  /** Prepares a server with an empty database; {@link #start} starts it. */
  ServerProcess() throws IOException, InterruptedException {
    this(Files.createTempDirectory("server"));
    plant(seed(), folder);
  }

  /**
   * Prepares a server on a database that others use, too.
   *
   * @param database the variables that say where it is, with their prefix
   */
  ServerProcess(Map<String, String> database) throws IOException {
    this(Files.createTempDirectory("server"));
    environment.putAll(database);
    environment.put("SANDKEEPER_SERVER_RATE_LIMIT_REQUESTS_PER_SECOND", "0"); // one key, all load
  }

  private ServerProcess(Path folder) {
    this.folder = folder;
    set("DATA_FOLDER", folder.resolve("data").toString());
    set("BOOTSTRAP_KEY_FILE", folder.resolve("key").toString());
    set("SERVER_PORT", "0");
    set("SERVER_SHUTDOWN_GRACE", "1 s");
    set("SANDBOX_SWEEP_INTERVAL", "300 ms");
    set("DATABASE_ACQUIRE_TIMEOUT", "1 s");
  }

  /** Sets a key of the configuration for the next start, by its variable without the prefix. */
  ServerProcess set(String variable, String value) {
    environment.put("SANDKEEPER_" + variable, value);
    return this;
  }

  /** Sets a variable of the environment for the next start. */
  ServerProcess environment(String name, String value) {
    environment.put(name, value);
    return this;
  }

  /** Adds a flag of the virtual machine for the next start. */
  ServerProcess flag(String flag) {
    flags.add(flag);
    return this;
  }

  /** Returns a folder for what a test needs beside the server's own data. */
  Path folder() {
    return folder;
  }

  Path dataFolder() {
    return folder.resolve("data");
  }

  /** Starts the server and waits until it serves. */
  ServerProcess start() throws IOException {
    launch();
    await().atMost(START_TIMEOUT).until(() -> serves() || !process().isAlive());
    if (!serves()) {
      throw new IllegalStateException("The server ended at its start: " + log());
    }
    client = another();
    return this;
  }

  /** Starts the server and returns at once. */
  Process launch(String... arguments) throws IOException {
    starts++;
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(flags);
    command.addAll(
        List.of(
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            // As it is shipped: the tests' own configuration is on the class path too.
            "-Dlogback.configurationFile=logback.xml",
            "-cp",
            System.getProperty("java.class.path"),
            Main.class.getName()));
    command.addAll(List.of(arguments));
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(logFile().toFile())
            .redirectInput(new File("/dev/null"));
    builder.environment().putAll(environment);
    Process launched = builder.start();
    process = launched;
    return launched;
  }

  /** Returns what the server of the last start wrote. */
  String log() {
    try {
      return Files.readString(logFile());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the client of the server as it was last started. */
  Client client() {
    return Objects.requireNonNull(client, "not started");
  }

  /** Returns a further client, with a connection of its own. */
  Client another() throws IOException {
    return new Client(port(), Files.readString(folder.resolve("key")).strip());
  }

  Process process() {
    return Objects.requireNonNull(process, "not started");
  }

  /** Goes back to a server that was launched before another one. */
  void watch(Process earlier) {
    process = earlier;
  }

  /** Kills the server alone: its database and its sandboxes run on. */
  void kill() throws InterruptedException {
    closeClient();
    process().destroyForcibly().waitFor();
  }

  /** Has the server stand still, as a machine without a moment of time for it. */
  void standStill() throws IOException, InterruptedException {
    signal("STOP");
  }

  /** Lets a server that stands still go on. */
  void goOn() throws IOException, InterruptedException {
    signal("CONT");
  }

  private void signal(String name) throws IOException, InterruptedException {
    String pid = Long.toString(process().pid());
    if (new ProcessBuilder("kill", "-" + name, pid).inheritIO().start().waitFor() != 0) {
      throw new IllegalStateException("cannot signal " + pid);
    }
  }

  /** Asks the server to stop, and waits for its end. */
  int stop() throws InterruptedException {
    closeClient();
    process().destroy();
    if (!process().waitFor(STOP_TIMEOUT.toSeconds(), TimeUnit.SECONDS)) {
      throw new IllegalStateException("The server does not stop: " + log());
    }
    return process().exitValue();
  }

  /** Does something to a sandbox of a server that was killed, as the server would have. */
  void inEngine(String sandboxId, Consumer<EngineSandbox> work) {
    try (LocalEngine engine =
        new LocalEngine(LocalEngineSettings.of(dataFolder().resolve("engine")))) {
      work.accept(engine.adopt(new SandboxId(sandboxId), 1).orElseThrow());
    }
  }

  /** Kills the main process of the database, whose helpers then end by themselves. */
  long killDatabase() throws IOException {
    long pid = databaseProcess();
    ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly);
    return pid;
  }

  /** Returns the process id of the database as it says it itself. */
  long databaseProcess() throws IOException {
    return Long.parseLong(postmaster().getFirst().strip());
  }

  /** Says whether a database runs on the data folder. */
  boolean databaseRuns() throws IOException {
    return Files.exists(postmasterFile())
        && ProcessHandle.of(databaseProcess()).map(ProcessHandle::isAlive).orElse(false);
  }

  /** Returns the ids of the processes that run in a sandbox. */
  static List<Long> processes(String sandboxId) {
    return ProcessHandle.allProcesses()
        .map(ProcessHandle::pid)
        .filter(pid -> isIn(pid, sandboxId))
        .toList();
  }

  private static boolean isIn(long pid, String sandboxId) {
    try {
      return Files.readString(Path.of("/proc", Long.toString(pid), "cgroup")).contains(sandboxId);
    } catch (IOException e) {
      return false; // it has ended meanwhile
    }
  }

  /** Asks the database, as the owner of the schema, for one column of text. */
  List<String> query(String sql) throws IOException, SQLException {
    try (Connection connection = owner().getConnection();
        Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery(sql)) {
      List<String> rows = new ArrayList<>();
      while (result.next()) {
        rows.add(result.getString(1));
      }
      return rows;
    }
  }

  /** Changes the database as the owner of the schema. */
  int update(String sql) throws IOException, SQLException {
    try (Connection connection = owner().getConnection();
        Statement statement = connection.createStatement()) {
      return statement.executeUpdate(sql);
    }
  }

  private PGSimpleDataSource owner() throws IOException {
    PGSimpleDataSource dataSource = new PGSimpleDataSource();
    String outside = environment.get("SANDKEEPER_DATABASE_URL");
    if (outside != null) {
      dataSource.setURL(outside);
      dataSource.setUser(environment.get("SANDKEEPER_DATABASE_OWNER_USER"));
      dataSource.setPassword(environment.get("SANDKEEPER_DATABASE_OWNER_PASSWORD"));
      return dataSource;
    }
    Properties passwords = new Properties();
    try (var reader = Files.newBufferedReader(postgresql().resolve("passwords"))) {
      passwords.load(reader);
    }
    dataSource.setURL("jdbc:postgresql://127.0.0.1:" + postmaster().get(3).strip() + "/sandkeeper");
    dataSource.setUser("sandkeeper_owner");
    dataSource.setPassword(passwords.getProperty("owner"));
    return dataSource;
  }

  private Path postgresql() {
    return dataFolder().resolve("postgresql");
  }

  private Path postmasterFile() {
    return postgresql().resolve("cluster").resolve("postmaster.pid");
  }

  private List<String> postmaster() throws IOException {
    return Files.readAllLines(postmasterFile());
  }

  private Path logFile() {
    return folder.resolve("server-" + starts + ".log");
  }

  private boolean serves() {
    return serving().isPresent();
  }

  private Optional<String> serving() {
    return log().lines().filter(line -> line.contains("\"Serving\"")).findFirst();
  }

  private int port() {
    Matcher port = PORT.matcher(serving().orElseThrow());
    if (!port.find()) {
      throw new IllegalStateException("The server does not say its port: " + log());
    }
    return Integer.parseInt(port.group(1));
  }

  /**
   * A data folder with a fresh database, and its key beside it. Making them takes longer than most
   * of the tests, so that each gets a copy.
   */
  private static synchronized Path seed() throws IOException, InterruptedException {
    Path ready = seed;
    if (ready == null) {
      ready = Path.of("target", "crash-seed").toAbsolutePath();
      if (Files.exists(ready)) {
        Folders.delete(ready);
      }
      Files.createDirectories(ready);
      try (ServerProcess first = new ServerProcess(Files.createTempDirectory("server"))) {
        first.start().stop();
        Folders.copy(first.dataFolder().resolve("postgresql"), ready);
        Folders.copy(first.folder.resolve("key"), ready);
      }
      seed = ready;
    }
    return ready;
  }

  /** Gives a data folder the database of the seed; the binaries stay where they are. */
  private static void plant(Path seed, Path folder) throws IOException, InterruptedException {
    Path postgresql = Files.createDirectories(folder.resolve("data").resolve("postgresql"));
    Folders.copy(seed.resolve("key"), folder);
    try (var files = Files.list(seed.resolve("postgresql"))) {
      for (Path file : files.toList()) {
        Path name = Objects.requireNonNull(file.getFileName());
        if (name.toString().startsWith("binaries-")) {
          Files.createSymbolicLink(postgresql.resolve(name), file);
        } else {
          Folders.copy(file, postgresql);
        }
      }
    }
  }

  private void closeClient() {
    Client open = client;
    client = null;
    if (open != null) {
      open.close();
    }
  }

  /** Ends everything that was started here and deletes the folder. */
  @Override
  public void close() throws IOException {
    closeClient();
    if (process != null) {
      process().destroyForcibly().onExit().join();
    }
    if (databaseRuns()) {
      killDatabase();
    }
    Path state = dataFolder().resolve("engine");
    if (Files.exists(state)) {
      try (LocalEngine engine = new LocalEngine(LocalEngineSettings.of(state))) {
        engine.list().forEach(instance -> engine.destroy(instance.sandboxId()));
      }
    }
    // The helpers of a killed database write until they notice.
    await().atMost(STOP_TIMEOUT).ignoreExceptions().until(() -> Folders.delete(folder));
  }
}
