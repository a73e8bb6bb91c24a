package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import javax.sql.DataSource;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;

/**
 * Brings the schema to the version that this server was built for.
 *
 * <p>What was applied is noted as the hash of all migrations, on Flyway's own table. Where it is
 * this server's, nothing is missing, and Flyway, which takes most of a warm start, is not asked.
 */
final class Migrations {
  private static final String LOCATION = "classpath:db/migration";
  private static final String HASH = "/dev/sandkeeper/jooq/schema.sha256";
  private static final String NOTE =
      "select obj_description(to_regclass('flyway_schema_history'), 'pg_class')";

  private Migrations() {}

  /**
   * Applies what is missing.
   *
   * @param owner connects as the role that owns the schema
   * @throws DatabaseException when a migration fails, or the schema is newer than this server
   * @throws SQLException when the database cannot be reached
   */
  static void apply(DataSource owner) throws SQLException {
    String hash = hash();
    try (Connection connection = owner.getConnection();
        Statement statement = connection.createStatement()) {
      if (isNoted(statement, hash)) {
        return;
      }
      migrate(owner);
      statement.execute("comment on table flyway_schema_history is '" + hash + "'");
    }
  }

  private static boolean isNoted(Statement statement, String hash) throws SQLException {
    try (ResultSet result = statement.executeQuery(NOTE)) {
      return result.next() && hash.equals(result.getString(1));
    }
  }

  private static void migrate(DataSource owner) {
    try {
      Flyway.configure()
          .dataSource(owner)
          .locations(LOCATION)
          // A schema of a newer server is not ours to use.
          .ignoreMigrationPatterns(new String[0])
          .load()
          .migrate();
    } catch (FlywayException e) {
      throw new DatabaseException("The database's schema could not be brought up to date.", e);
    }
  }

  /** The hash that the build made of the migrations: hexadecimal digits. */
  private static String hash() {
    try (InputStream input = Migrations.class.getResourceAsStream(HASH)) {
      if (input == null) {
        throw new DatabaseException("This server was built without the hash of its schema.");
      }
      return new String(input.readAllBytes(), StandardCharsets.US_ASCII);
    } catch (IOException e) {
      throw new DatabaseException("The hash of the schema cannot be read.", e);
    }
  }
}
