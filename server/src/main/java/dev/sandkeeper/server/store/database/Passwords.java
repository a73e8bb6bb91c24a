package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HexFormat;
import java.util.Properties;
import java.util.random.RandomGenerator;

/**
 * The passwords of the embedded database, made once and kept beside it in a file that only its
 * owner may read.
 *
 * @param superuser of the role that creates the others
 * @param owner of the role that owns and migrates the schema
 * @param server of the role that serves
 */
record Passwords(String superuser, String owner, String server) {
  private static final int PASSWORD_BYTES = 32;

  /** Reads the file, or makes it with new passwords where there is none. */
  static Passwords readOrCreate(Path file, RandomGenerator random) throws IOException {
    if (!Files.exists(file)) {
      new Passwords(password(random), password(random), password(random)).write(file);
    }
    return read(file);
  }

  private static Passwords read(Path file) throws IOException {
    Properties properties = new Properties();
    properties.load(new StringReader(Files.readString(file)));
    return new Passwords(
        required(properties, "superuser", file),
        required(properties, "owner", file),
        required(properties, "server", file));
  }

  private void write(Path file) throws IOException {
    StringWriter text = new StringWriter();
    text.append("superuser=").append(superuser).append('\n');
    text.append("owner=").append(owner).append('\n');
    text.append("server=").append(server).append('\n');
    Path unfinished = file.resolveSibling(file.getFileName() + ".new");
    Files.deleteIfExists(unfinished);
    Files.createFile(
        unfinished,
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    Files.writeString(unfinished, text.toString());
    Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE);
  }

  private static String required(Properties properties, String key, Path file) {
    String value = properties.getProperty(key);
    if (value == null || value.isEmpty()) {
      throw new DatabaseException(file + " lacks the password of " + key + ".");
    }
    return value;
  }

  private static String password(RandomGenerator random) {
    byte[] bytes = new byte[PASSWORD_BYTES];
    random.nextBytes(bytes);
    return HexFormat.of().formatHex(bytes);
  }

  @Override
  public String toString() {
    return "Passwords[(hidden)]";
  }
}
