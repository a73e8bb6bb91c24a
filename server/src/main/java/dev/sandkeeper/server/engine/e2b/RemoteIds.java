package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.base.SandboxId;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Optional;

/** What E2B calls the sandboxes, also those that ended lately, of which it still tells by that. */
final class RemoteIds {
  /** Longer than anybody asks for one that ended, or has not heard of one that runs. */
  private static final Duration KEEP = Duration.ofDays(30);

  private final Path folder;
  private final InstantSource clock;

  RemoteIds(Path folder, InstantSource clock) throws IOException {
    this.folder = folder;
    this.clock = clock;
    Files.createDirectories(folder);
  }

  /** Remembers one, from now on. */
  void add(SandboxId id, String remoteId) {
    try {
      Files.writeString(folder.resolve(id.value()), remoteId);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write to " + folder, e);
    }
  }

  /** Returns what E2B called one, if it is remembered. */
  Optional<String> remoteId(SandboxId id) {
    Path file = folder.resolve(id.value());
    try {
      return Files.exists(file) ? Optional.of(Files.readString(file)) : Optional.empty();
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
  }

  /** Forgets those of long ago. */
  void forgetOld() {
    try (var files = Files.newDirectoryStream(folder)) {
      for (Path file : files) {
        if (Files.getLastModifiedTime(file).toInstant().isBefore(clock.instant().minus(KEEP))) {
          Files.deleteIfExists(file);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + folder, e);
    }
  }
}
