package dev.sandkeeper.server.store.database;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * Makes the roles and the database in a fresh PostgreSQL of ours, each unless it is there, so that
 * a first start that was cut short goes on where it stopped.
 */
final class Roles {
  /** The role that owns and migrates the schema. */
  static final String OWNER = "sandkeeper_owner";

  /** The role that serves; it owns nothing. */
  static final String SERVER = "sandkeeper_server";

  /** The database that holds everything. */
  static final String DATABASE = "sandkeeper";

  private Roles() {}

  static void create(EmbeddedPostgres postgres) throws SQLException {
    Passwords passwords = postgres.passwords();
    PGSimpleDataSource superuser = new PGSimpleDataSource();
    superuser.setURL(postgres.url("postgres"));
    superuser.setUser(EmbeddedPostgres.SUPERUSER);
    superuser.setPassword(passwords.superuser());
    try (Connection connection = superuser.getConnection();
        Statement statement = connection.createStatement()) {
      if (!exists(connection, "select 1 from pg_roles where rolname = ?", OWNER)) {
        statement.execute(createRole(OWNER, passwords.owner()));
      }
      if (!exists(connection, "select 1 from pg_roles where rolname = ?", SERVER)) {
        statement.execute(createRole(SERVER, passwords.server()));
      }
      if (!exists(connection, "select 1 from pg_database where datname = ?", DATABASE)) {
        statement.execute("create database " + DATABASE + " owner " + OWNER);
        for (String database : List.of(DATABASE, "postgres", "template1")) {
          statement.execute("revoke all on database " + database + " from public");
        }
      }
      statement.execute("grant connect on database " + DATABASE + " to " + SERVER);
    }
  }

  // Names are constants and passwords hexadecimal: neither needs quoting.
  private static String createRole(String name, String password) {
    return "create role "
        + name
        + " login nosuperuser nocreatedb nocreaterole noreplication password '"
        + password
        + "'";
  }

  private static boolean exists(Connection connection, String sql, String name)
      throws SQLException {
    try (PreparedStatement query = connection.prepareStatement(sql)) {
      query.setString(1, name);
      try (ResultSet result = query.executeQuery()) {
        return result.next();
      }
    }
  }
}
