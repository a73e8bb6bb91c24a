package dev.sandkeeper.server.store.database;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.random.RandomGenerator;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * The database, migrated and ready, with its pool of connections. They belong to the role that
 * serves, which owns nothing; the role that owns the schema is used for the migration only.
 */
public final class Database implements AutoCloseable {
  // Beside the pool: the migration, and a human who looks.
  private static final int SPARE_CONNECTIONS = 10;

  private final String url;
  private final Credentials server;
  private final HikariDataSource pool;
  private final @Nullable EmbeddedPostgres embedded;

  private Database(
      String url, Credentials server, HikariDataSource pool, @Nullable EmbeddedPostgres embedded) {
    this.url = url;
    this.server = server;
    this.pool = pool;
    this.embedded = embedded;
  }

  /**
   * Starts the embedded database of a data folder; should it end by itself, it is started again.
   *
   * @param dataFolder the locked folder
   * @param port the port on 127.0.0.1; 0 for any that is free
   * @param settings the bounds of the pool
   * @param random the source of its passwords, in production a secure one
   * @throws DatabaseException when it does not start, or does not keep what it commits
   */
  public static Database embedded(
      DataFolder dataFolder, int port, PoolSettings settings, RandomGenerator random) {
    EmbeddedPostgres postgres =
        EmbeddedPostgres.start(dataFolder, port, settings.size() + SPARE_CONNECTIONS, random);
    try {
      Roles.create(postgres);
      Passwords passwords = postgres.passwords();
      String url = postgres.url(Roles.DATABASE);
      Credentials server = new Credentials(Roles.SERVER, passwords.server());
      HikariDataSource pool =
          open(url, new Credentials(Roles.OWNER, passwords.owner()), server, settings);
      postgres.keepRunning();
      return new Database(url, server, pool, postgres);
    } catch (SQLException e) {
      postgres.close();
      throw new DatabaseException("The embedded database cannot be set up.", e);
    } catch (RuntimeException e) {
      postgres.close();
      throw e;
    }
  }

  /**
   * Connects to a database that runs elsewhere, in which both roles exist and the first owns the
   * database.
   *
   * @param url its JDBC URL, {@code jdbc:postgresql://...}
   * @param owner the role that owns and migrates the schema
   * @param server the role that serves
   * @param settings the bounds of the pool
   * @throws DatabaseException when it cannot be reached, or does not keep what it commits
   */
  public static Database outside(
      String url, Credentials owner, Credentials server, PoolSettings settings) {
    try {
      return new Database(url, server, open(url, owner, server, settings), null);
    } catch (SQLException e) {
      throw new DatabaseException("The database cannot be reached.", e);
    }
  }

  private static HikariDataSource open(
      String url, Credentials owner, Credentials server, PoolSettings settings)
      throws SQLException {
    Migrations.apply(simple(url, owner));
    HikariConfig config = new HikariConfig();
    config.setPoolName("sandkeeper");
    config.setDataSource(simple(url, server));
    config.setMaximumPoolSize(settings.size());
    config.setConnectionTimeout(settings.acquireTimeout().toMillis());
    config.setConnectionInitSql(
        "set statement_timeout = "
            + settings.statementTimeout().toMillis()
            + "; set idle_in_transaction_session_timeout = "
            + settings.transactionPause().toMillis());
    HikariDataSource pool = new HikariDataSource(config);
    try {
      Durability.require(pool);
      return pool;
    } catch (SQLException | RuntimeException e) {
      pool.close();
      throw e;
    }
  }

  private static PGSimpleDataSource simple(String url, Credentials credentials) {
    PGSimpleDataSource dataSource = new PGSimpleDataSource();
    dataSource.setURL(url);
    dataSource.setUser(credentials.user());
    dataSource.setPassword(credentials.password());
    return dataSource;
  }

  /** Returns the pool of the serving role's connections. */
  public DataSource dataSource() {
    return pool;
  }

  /**
   * Makes one more connection of the serving role, apart from the pool, for what must not wait for
   * those who are many.
   *
   * @param patience how long an answer may take, a second or more
   * @return a pool of that connection, which it makes anew when it breaks; to be closed
   */
  public HikariDataSource reserved(Duration patience) {
    HikariConfig config = new HikariConfig();
    config.setPoolName("sandkeeper-reserved");
    PGSimpleDataSource dataSource = simple(url, server);
    int seconds = Math.toIntExact(patience.toSeconds());
    dataSource.setConnectTimeout(seconds);
    dataSource.setSocketTimeout(seconds);
    config.setDataSource(dataSource);
    config.setMaximumPoolSize(1);
    config.setConnectionTimeout(patience.toMillis());
    return new HikariDataSource(config);
  }

  /**
   * Reads the database's clock, to which billing is anchored.
   *
   * @throws DatabaseException when it cannot be reached
   */
  public Instant now() {
    try (Connection connection = pool.getConnection();
        Statement statement = connection.createStatement();
        ResultSet result = statement.executeQuery("select clock_timestamp()")) {
      if (!result.next()) {
        throw new DatabaseException("The database does not tell the time.");
      }
      return result.getObject(1, OffsetDateTime.class).toInstant();
    } catch (SQLException e) {
      throw new DatabaseException("The database does not tell the time.", e);
    }
  }

  /** Closes the pool, and stops the database where it is the embedded one. */
  @Override
  public void close() {
    pool.close();
    if (embedded != null) {
      embedded.close();
    }
  }
}
