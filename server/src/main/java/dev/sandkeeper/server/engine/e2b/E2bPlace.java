package dev.sandkeeper.server.engine.e2b;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * By what an engine's sandboxes are told from others of the same account.
 *
 * @param apiUrl of the E2B that they run in
 * @param owner the engine, by a name that it has for as long as its state folder
 */
record E2bPlace(URI apiUrl, String owner) {
  /** Names of metadata, which every sandbox is found again by. */
  static final String SANDBOX = "sandkeeper-sandbox";

  static final String GENERATION = "sandkeeper-generation";
  static final String OWNER = "sandkeeper-owner";

  private static final String FILE = "owner";
  private static final int OWNER_LENGTH = 20;
  private static final String SEPARATOR = " ";
  private static final String PREFIX = "e2b:";

  /** Returns the place of a state folder, which gets a name if it has none. */
  static E2bPlace of(URI apiUrl, Path stateFolder) throws IOException {
    Path file = stateFolder.resolve(FILE);
    if (!Files.exists(file)) {
      String name =
          new SecureRandom()
              .ints(OWNER_LENGTH, 0, Character.MAX_RADIX)
              .mapToObj(digit -> Integer.toString(digit, Character.MAX_RADIX))
              .collect(Collectors.joining());
      Path part = Files.writeString(stateFolder.resolve(FILE + ".part"), name);
      Files.move(part, file);
    }
    return new E2bPlace(apiUrl, Files.readString(file).strip());
  }

  /** Undoes {@link #toString}; empty for what is no place of this kind. */
  static Optional<E2bPlace> parse(String text) {
    String[] parts = text.split(SEPARATOR, -1);
    try {
      return parts.length == 2 && parts[0].startsWith(PREFIX)
          ? Optional.of(new E2bPlace(URI.create(parts[0].substring(PREFIX.length())), parts[1]))
          : Optional.empty();
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  /** Returns what all of its sandboxes have. */
  Map<String, String> metadata() {
    return Map.of(OWNER, owner);
  }

  @Override
  public String toString() {
    return PREFIX + apiUrl + SEPARATOR + owner;
  }
}
