package dev.sandkeeper.server.store.database;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;

/**
 * Asks the database whether what it calls committed is on the disk. Money is booked here, so a
 * server that gets another answer does not serve.
 */
final class Durability {
  private static final List<String> SETTINGS =
      List.of("fsync", "synchronous_commit", "full_page_writes");

  private Durability() {}

  /**
   * Checks the settings as a session of the serving role has them.
   *
   * @throws DatabaseException naming each setting that is off
   */
  static void require(DataSource dataSource) throws SQLException {
    List<String> wrong = new ArrayList<>();
    try (Connection connection = dataSource.getConnection();
        Statement statement = connection.createStatement()) {
      for (String setting : SETTINGS) {
        try (ResultSet result = statement.executeQuery("show " + setting)) {
          String value = result.next() ? result.getString(1) : "absent";
          if (value.equals("off") || value.equals("absent")) {
            wrong.add(setting + " is " + value);
          }
        }
      }
    }
    if (!wrong.isEmpty()) {
      throw new DatabaseException(
          "The database may lose what it committed: "
              + String.join(", ", wrong)
              + " (expected: on).");
    }
  }
}
