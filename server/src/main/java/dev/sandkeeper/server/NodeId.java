package dev.sandkeeper.server;

import dev.sandkeeper.server.base.IdGenerator;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The name under which a server's sandboxes stand in the books. It belongs to the data folder, so
 * that two servers on one machine never take up each other's, and one that comes back under another
 * host name still finds its own.
 */
final class NodeId {
  private static final int SUFFIX_LENGTH = 8;

  private NodeId() {}

  /** Returns the configured name, or the one kept in the data folder, which is made at first. */
  static String of(Optional<String> configured, Path dataFolder, IdGenerator ids) {
    if (configured.isPresent()) {
      return configured.get();
    }
    Path file = dataFolder.resolve("node-id");
    try {
      if (!Files.exists(file)) {
        String made = hostName() + "-" + ids.next().substring(0, SUFFIX_LENGTH);
        Path draft = Files.writeString(dataFolder.resolve("node-id.new"), made);
        Files.move(draft, file);
      }
      return Files.readString(file).strip();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String hostName() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException _) {
      return "node";
    }
  }
}
