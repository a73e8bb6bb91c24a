package dev.sandkeeper.server.store.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.postgresql.ds.PGSimpleDataSource;

// Goal: the embedded database keeps what was committed, whatever happens to the server, and lets in
// nobody without its password. Method: the real thing in a folder of each test's own.
final class DatabaseTest {
  private static final PoolSettings POOL =
      new PoolSettings(2, Duration.ofSeconds(5), Duration.ofSeconds(30), Duration.ofSeconds(1));

  @TempDir Path temporary;

  @AfterEach
  void unlinkBinaries() throws IOException {
    try (Stream<Path> files = Files.walk(temporary)) {
      for (Path link : files.filter(Files::isSymbolicLink).toList()) {
        Files.delete(link);
      }
    }
  }

  @Test
  void firstStartMigratesAndTellsTheTime() {
    try (DataFolder folder = dataFolder();
        Database database = open(folder)) {
      Instant now = Instant.now();

      assertThat(database.now()).isBetween(now.minusSeconds(60), now.plusSeconds(60));
    }
  }

  @Test
  void sessionThatStandsStillInATransactionLosesItsLocks() throws SQLException {
    try (DataFolder folder = dataFolder();
        Database database = open(folder);
        Connection still = database.dataSource().getConnection();
        Connection other = database.dataSource().getConnection();
        Statement locks = still.createStatement();
        Statement waits = other.createStatement()) {
      still.setAutoCommit(false);
      locks.execute("select pg_advisory_xact_lock(7)");

      waits.execute("select pg_advisory_lock(7)");

      assertThatThrownBy(() -> locks.execute("select 1"))
          .isInstanceOfSatisfying(
              SQLException.class, e -> assertThat(e.getSQLState()).isIn("25P03", "08006"));
    }
  }

  @Test
  void schemaThatNewerServerMigratedIsRefused() throws SQLException {
    try (DataFolder folder = dataFolder()) {
      open(folder).close();
      try (EmbeddedPostgres postgres = EmbeddedPostgres.start(folder, 0, 20, new SecureRandom());
          Connection connection = owner(postgres).getConnection();
          Statement statement = connection.createStatement()) {
        statement.execute(
            "insert into flyway_schema_history select installed_rank + 1000, '9999', 'later',"
                + " type, 'V9999__later.sql', checksum, installed_by, installed_on,"
                + " execution_time, success from flyway_schema_history limit 1");
        statement.execute("comment on table flyway_schema_history is 'another'");
      }

      assertThatThrownBy(() -> open(folder))
          .isInstanceOf(DatabaseException.class)
          .hasMessageContaining("schema could not be brought up to date");
    }
  }

  @Test
  void dataOutlivesTheServer() throws SQLException {
    try (DataFolder folder = dataFolder()) {
      try (Database database = open(folder)) {
        execute(database, "insert into tenant (tenant_id, create_time) values ('kept', now())");
      }
      try (Database database = open(folder)) {
        assertThat(query(database, "select tenant_id from tenant where tenant_id = 'kept'"))
            .isEqualTo("kept");
      }
    }
  }

  @Test
  void whatIsCommittedIsOnTheDisk() throws SQLException {
    try (DataFolder folder = dataFolder();
        Database database = open(folder)) {
      assertThat(query(database, "show fsync")).isEqualTo("on");
      assertThat(query(database, "show synchronous_commit")).isEqualTo("on");
      assertThat(query(database, "show full_page_writes")).isEqualTo("on");
    }
  }

  @Test
  void serverRefusesDatabaseThatMayLoseWhatItCommitted() throws SQLException {
    try (DataFolder folder = dataFolder();
        EmbeddedPostgres postgres = EmbeddedPostgres.start(folder, 0, 20, new SecureRandom())) {
      Roles.create(postgres);
      try (Connection connection = superuser(postgres).getConnection();
          Statement statement = connection.createStatement()) {
        statement.execute("alter role sandkeeper_server set synchronous_commit = off");
      }

      assertThatThrownBy(() ->
              Database.outside(
                  postgres.url(Roles.DATABASE),
                  new Credentials(Roles.OWNER, postgres.passwords().owner()),
                  new Credentials(Roles.SERVER, postgres.passwords().server()),
                  POOL))
          .isInstanceOf(DatabaseException.class)
          .hasMessageContaining("synchronous_commit is off");
    }
  }

  @Test
  void nothingListensBeyondThisMachineAndNobodyEntersWithoutPassword() throws SQLException {
    try (DataFolder folder = dataFolder();
        EmbeddedPostgres postgres = EmbeddedPostgres.start(folder, 0, 20, new SecureRandom())) {
      PGSimpleDataSource stranger = superuser(postgres);
      stranger.setPassword("wrong");

      try (Connection connection = superuser(postgres).getConnection()) {
        assertThat(query(connection, "show listen_addresses")).isEqualTo("127.0.0.1");
        assertThat(query(connection, "show unix_socket_directories")).isEmpty();
      }
      assertThatThrownBy(stranger::getConnection).hasMessageContaining("password");
    }
  }

  @Test
  void passwordsAreForTheirOwnerAlone() throws IOException {
    try (DataFolder folder = DataFolder.open(temporary.resolve("data"));
        Database _ = open(folder)) {
      Path passwords = folder.path().resolve("postgresql/passwords");

      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.path())))
          .isEqualTo("rwx------");
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(passwords)))
          .isEqualTo("rw-------");
    }
  }

  @Test
  void servingRoleOwnsNothingAndMayNotChangeTheBooks() throws SQLException {
    try (DataFolder folder = dataFolder();
        Database database = open(folder)) {
      assertThat(
              query(
                  database,
                  "select count(*) from pg_class where relowner = 'sandkeeper_server'::regrole"))
          .isEqualTo("0");
      assertThatThrownBy(() -> execute(database, "delete from cost_record"))
          .hasMessageContaining("permission denied");
      assertThatThrownBy(() -> execute(database, "create table mine (id int)"))
          .hasMessageContaining("permission denied");
    }
  }

  @Test
  void databaseOfKilledServerIsStoppedAndItsDataKept() throws SQLException {
    try (DataFolder folder = dataFolder()) {
      EmbeddedPostgres orphan = EmbeddedPostgres.start(folder, 0, 20, new SecureRandom());
      ProcessHandle process = ProcessHandle.of(orphan.processId()).orElseThrow();

      try (Database database = open(folder)) {
        assertThat(process.isAlive()).isFalse();
        assertThat(query(database, "select 1")).isEqualTo("1");
      }
    }
  }

  @Test
  void databaseThatWasItselfKilledRecovers() throws SQLException {
    try (DataFolder folder = dataFolder()) {
      try (EmbeddedPostgres killed = EmbeddedPostgres.start(folder, 0, 20, new SecureRandom())) {
        ProcessHandle process = ProcessHandle.of(killed.processId()).orElseThrow();
        List<ProcessHandle> children = process.children().toList();
        process.destroyForcibly();
        Awaitility.await()
            .until(() -> !process.isAlive() && children.stream().noneMatch(ProcessHandle::isAlive));
      }

      try (Database database = open(folder)) {
        assertThat(query(database, "select 1")).isEqualTo("1");
      }
    }
  }

  @Test
  void processThatOnlyHasTheNumberIsLeftAlone() throws IOException {
    Process innocent = new ProcessBuilder("sleep", "600").start();
    try (DataFolder folder = dataFolder()) {
      open(folder).close();
      Path cluster = folder.path().resolve("postgresql/cluster");
      Files.writeString(
          PostmasterFile.path(cluster),
          "%d%n%s%n%d%n".formatted(innocent.pid(), cluster, Instant.now().getEpochSecond()),
          StandardOpenOption.CREATE_NEW);

      open(folder).close();

      assertThat(innocent.isAlive()).isTrue();
    } finally {
      innocent.destroyForcibly();
    }
  }

  @Test
  void secondServerOnTheSameFolderIsRefused() {
    Path path = temporary.resolve("data");
    try (DataFolder _ = DataFolder.open(path)) {
      assertThatThrownBy(() -> DataFolder.open(path))
          .isInstanceOf(DatabaseException.class)
          .hasMessageContaining("in use by another server");
    }
    DataFolder.open(path).close();
  }

  @Test
  void takenPortIsNamed() throws IOException {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.ofLiteral("127.0.0.1"));
        DataFolder folder = dataFolder()) {
      assertThatThrownBy(
              () -> EmbeddedPostgres.start(folder, taken.getLocalPort(), 20, new SecureRandom()))
          .isInstanceOf(DatabaseException.class)
          .hasMessageContaining("could not create any TCP/IP sockets");
    }
  }

  /** A folder in which the binaries are unpacked already, which takes longer than all the rest. */
  private DataFolder dataFolder() {
    try {
      Path binaries = PostgresBinaries.unpack(SharedPostgres.FOLDER.resolve("postgresql"));
      Path folder = Files.createDirectories(temporary.resolve("data/postgresql"));
      Files.setPosixFilePermissions(
          temporary.resolve("data"), PosixFilePermissions.fromString("rwx------"));
      Files.createSymbolicLink(folder.resolve(binaries.getFileName()), binaries.toRealPath());
      return DataFolder.open(temporary.resolve("data"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Database open(DataFolder folder) {
    return Database.embedded(folder, 0, POOL, new SecureRandom());
  }

  private static PGSimpleDataSource superuser(EmbeddedPostgres postgres) {
    PGSimpleDataSource dataSource = new PGSimpleDataSource();
    dataSource.setURL(postgres.url("postgres"));
    dataSource.setUser(EmbeddedPostgres.SUPERUSER);
    dataSource.setPassword(postgres.passwords().superuser());
    return dataSource;
  }

  private static PGSimpleDataSource owner(EmbeddedPostgres postgres) {
    PGSimpleDataSource dataSource = new PGSimpleDataSource();
    dataSource.setURL(postgres.url(Roles.DATABASE));
    dataSource.setUser(Roles.OWNER);
    dataSource.setPassword(postgres.passwords().owner());
    return dataSource;
  }

  private static void execute(Database database, String sql) throws SQLException {
    try (Connection connection = database.dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String query(Database database, String sql) throws SQLException {
    try (Connection connection = database.dataSource().getConnection()) {
      return query(connection, sql);
    }
  }

  private static String query(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery(sql)) {
      assertThat(result.next()).isTrue();
      return result.getString(1);
    }
  }
}
