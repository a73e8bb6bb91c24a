package dev.sandkeeper.server.store.database;

import javax.sql.DataSource;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;

/** Brings the schema to the version that this server was built for. */
final class Migrations {
  private static final String LOCATION = "classpath:db/migration";

  private Migrations() {}

  /**
   * Applies what is missing.
   *
   * @param owner connects as the role that owns the schema
   * @throws DatabaseException when a migration fails, or the schema is newer than this server
   */
  static void apply(DataSource owner) {
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
}
