package dev.sandkeeper.server.store.database;

/**
 * The name and the password of a database role. Never printed.
 *
 * @param user the role
 * @param password its password; empty where the database asks for none
 */
public record Credentials(String user, String password) {
  @Override
  public String toString() {
    return "Credentials[user=" + user + ", password=(hidden)]";
  }
}
