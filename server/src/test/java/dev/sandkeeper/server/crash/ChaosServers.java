package dev.sandkeeper.server.crash;

import static org.awaitility.Awaitility.await;

import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.Reader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/**
 * Two servers on the embedded database of the first. The second goes to the database, and callers
 * go to the servers, by ways that can be cut.
 */
final class ChaosServers implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(90);

  private final ServerProcess first = new ServerProcess();
  private final ServerProcess second;
  private final CuttingWay toDatabase;
  private final List<CuttingWay> toServers;
  private final String key;

  /** Starts both. */
  ChaosServers(boolean answersBeforeCommit) throws Exception {
    int databasePort = freePort();
    int firstPort = freePort();
    int secondPort = freePort();
    Path cluster = first.dataFolder().resolve("postgresql").resolve("cluster");
    if (answersBeforeCommit) {
      Files.writeString(
          cluster.resolve("postgresql.conf"),
          "\nwal_writer_delay = 10s\nwal_writer_flush_after = 100MB\n",
          StandardOpenOption.APPEND);
    }
    settings(first)
        .set("NODE_ID", "first")
        .set("SERVER_PORT", Integer.toString(firstPort))
        .set("DATABASE_EMBEDDED_PORT", Integer.toString(databasePort))
        .set("DATABASE_POOL_SIZE", "8")
        .start();
    key = Files.readString(first.folder().resolve("key")).strip();
    toDatabase = new CuttingWay(databasePort);
    second =
        settings(new ServerProcess(database()))
            .set("NODE_ID", "second")
            .set("SERVER_PORT", Integer.toString(secondPort))
            .set("DATABASE_POOL_SIZE", "3")
            .start();
    toServers = List.of(new CuttingWay(firstPort), new CuttingWay(secondPort));
    if (answersBeforeCommit) {
      // The servers asked when they started, and would not have. It holds for new sessions.
      var _ = first.update("alter database sandkeeper set synchronous_commit = off");
      killDatabase();
    }
  }

  private static ServerProcess settings(ServerProcess server) {
    return server
        .set("REPLICA_TIMEOUT", "4 s")
        .set("LEDGER_LEASE", "20 s")
        .set("DATABASE_STATEMENT_TIMEOUT", "10 s");
  }

  private Map<String, String> database() throws IOException {
    Properties passwords = new Properties();
    Path file = first.dataFolder().resolve("postgresql").resolve("passwords");
    try (Reader reader = Files.newBufferedReader(file)) {
      passwords.load(reader);
    }
    return Map.of(
        "SANDKEEPER_DATABASE_URL",
        "jdbc:postgresql://127.0.0.1:" + toDatabase.port() + "/sandkeeper",
        "SANDKEEPER_DATABASE_OWNER_USER",
        "sandkeeper_owner",
        "SANDKEEPER_DATABASE_OWNER_PASSWORD",
        passwords.getProperty("owner"),
        "SANDKEEPER_DATABASE_SERVER_USER",
        "sandkeeper_server",
        "SANDKEEPER_DATABASE_SERVER_PASSWORD",
        passwords.getProperty("server"));
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }

  ServerProcess first() {
    return first;
  }

  ServerProcess second() {
    return second;
  }

  /** Returns the ways of callers to the first and the second server. */
  List<CuttingWay> ways() {
    return toServers;
  }

  /** Returns the secret of an administrator of both. */
  String key() {
    return key;
  }

  void killFirst() throws Exception {
    first.kill();
    first.start();
  }

  void killSecond() throws Exception {
    second.kill();
    second.start();
  }

  /** Kills the second and keeps it away until the first has ended what it ran. */
  void killSecondForLong() throws Exception {
    second.kill();
    awaitSecondGone();
    second.start();
  }

  /** Has the second stand still until the first has ended what it ran. */
  void stopSecondForAWhile() throws Exception {
    awaitSecondRunsSomething();
    second.standStill();
    try {
      awaitSecondGone();
    } finally {
      second.goOn();
    }
  }

  private void awaitSecondRunsSomething() {
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() ->
            !first
                .query(
                    "select s.sandbox_id from sandbox s join replica r using (node_id) where"
                        + " s.node_id = 'second' and s.state = 'RUNNING' and r.renewed_until >"
                        + " clock_timestamp() + interval '1 s'")
                .isEmpty());
  }

  private void awaitSecondGone() {
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() ->
            first
                .query(
                    "select node_id from replica where node_id = 'second' and renewed_until >"
                        + " clock_timestamp() union all select sandbox_id from sandbox where"
                        + " node_id = 'second' and end_time is null")
                .isEmpty());
  }

  void killDatabase() throws Exception {
    long killed = first.killDatabase();
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() -> first.databaseRuns() && first.databaseProcess() != killed);
  }

  void cutCallers() {
    toServers.forEach(CuttingWay::cut);
  }

  void cutDatabase() {
    toDatabase.cut();
  }

  /** Ends every sandbox that lives, and waits until none does. */
  void endSandboxes() {
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() -> {
          for (ServerProcess server : List.of(first, second)) {
            for (String id : live()) {
              try {
                server.client().terminate(id);
              } catch (StatusRuntimeException _) {
                // The other one's, or already on its way.
              }
            }
          }
          return live().isEmpty();
        });
  }

  private List<String> live() throws IOException, SQLException {
    return first.query("select sandbox_id from sandbox where end_time is null");
  }

  @Override
  public void close() throws IOException {
    for (CuttingWay way : toServers) {
      way.close();
    }
    second.close();
    toDatabase.close();
    first.close();
  }
}
