package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * The one PostgreSQL of a process of tests. Its files stay between runs, so that only the first has
 * to make them; the template is named by the migrations it was made from.
 */
final class SharedPostgres implements AutoCloseable {
  /** Where its files are; other tests share the unpacked binaries. */
  static final Path FOLDER =
      Path.of(System.getProperty("sandkeeper.test.data", "target/test-data"));

  private static final Path MIGRATIONS = Path.of("..", "sql");
  private static final int MAX_CONNECTIONS = 200;

  private final DataFolder folder;
  private final EmbeddedPostgres postgres;
  private final String template;
  private final AtomicInteger databases = new AtomicInteger();

  SharedPostgres() throws IOException, SQLException, NoSuchAlgorithmException {
    folder = DataFolder.open(FOLDER);
    postgres = EmbeddedPostgres.start(folder, 0, MAX_CONNECTIONS, new SecureRandom());
    Roles.create(postgres);
    template = "template_" + migrationsHash();
    dropLeftovers();
    makeTemplate();
  }

  /** Makes a fresh migrated database and returns its URL. */
  String create() throws SQLException {
    String name = "test_" + databases.incrementAndGet();
    // Copying files is quicker than writing the copy through the log, and a template is at rest.
    execute(
        "create database %s template %s owner %s strategy file_copy"
            .formatted(name, template, Roles.OWNER));
    return postgres.url(name);
  }

  /** Makes a database without anything in it and returns its URL. */
  String createEmpty() throws SQLException {
    String name = "test_" + databases.incrementAndGet();
    execute("create database %s owner %s".formatted(name, Roles.OWNER));
    return postgres.url(name);
  }

  void drop(String url) throws SQLException {
    execute("drop database " + url.substring(url.lastIndexOf('/') + 1) + " with (force)");
  }

  PGSimpleDataSource owner(String url) {
    return dataSource(url, Roles.OWNER, postgres.passwords().owner());
  }

  PGSimpleDataSource server(String url) {
    return dataSource(url, Roles.SERVER, postgres.passwords().server());
  }

  @Override
  public void close() {
    postgres.close();
    folder.close();
  }

  private void dropLeftovers() throws SQLException {
    List<String> leftovers = new ArrayList<>();
    try (Connection connection = superuser().getConnection();
        Statement statement = connection.createStatement();
        ResultSet result =
            statement.executeQuery(
                "select datname from pg_database where datname like 'test\\_%'"
                    + " or datname like 'template\\_%' and datname <> '"
                    + template
                    + "'")) {
      while (result.next()) {
        leftovers.add(result.getString(1));
      }
    }
    for (String name : leftovers) {
      execute("drop database " + name + " with (force)");
    }
  }

  private void makeTemplate() throws SQLException {
    try (Connection connection = superuser().getConnection();
        Statement statement = connection.createStatement();
        ResultSet result =
            statement.executeQuery(
                "select 1 from pg_database where datname = '" + template + "'")) {
      if (result.next()) {
        return;
      }
    }
    // Complete by its name, as a run may be cut short.
    execute("create database test_unfinished owner " + Roles.OWNER);
    Migrations.apply(owner(postgres.url("test_unfinished")));
    execute("alter database test_unfinished rename to " + template);
  }

  private void execute(String sql) throws SQLException {
    try (Connection connection = superuser().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private PGSimpleDataSource superuser() {
    return dataSource(
        postgres.url("postgres"), EmbeddedPostgres.SUPERUSER, postgres.passwords().superuser());
  }

  private static PGSimpleDataSource dataSource(String url, String user, String password) {
    PGSimpleDataSource dataSource = new PGSimpleDataSource();
    dataSource.setURL(url);
    dataSource.setUser(user);
    dataSource.setPassword(password);
    return dataSource;
  }

  private static String migrationsHash() throws IOException, NoSuchAlgorithmException {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    try (Stream<Path> files = Files.list(MIGRATIONS)) {
      for (Path file : files.filter(path -> path.toString().endsWith(".sql")).sorted().toList()) {
        try (InputStream input = Files.newInputStream(file)) {
          digest.update(input.readAllBytes());
        }
      }
    }
    return HexFormat.of().formatHex(digest.digest(), 0, 8);
  }
}
