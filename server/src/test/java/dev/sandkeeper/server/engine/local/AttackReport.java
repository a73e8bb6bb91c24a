package dev.sandkeeper.server.engine.local;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;

/** Writes what came of each attack to the file that {@code deploy/attack} reads, if it asks. */
final class AttackReport {

  private static final int MAX_SEEN = 200;

  private final Optional<Path> file =
      Optional.ofNullable(System.getProperty("sandkeeper.attacks.report")).map(Path::of);

  private final String runtime;

  AttackReport(String runtime) {
    this.runtime = runtime;
  }

  /** Returns whether an operator asks, who may have another version of a runtime. */
  boolean isAskedFor() {
    return file.isPresent();
  }

  /** Adds a line: runtime, attack, group, verdict, what was seen; with tabs between them. */
  void add(Attack attack, String verdict, String seen) {
    String line =
        String.join(
            "\t",
            runtime,
            attack.name(),
            attack.group(),
            verdict,
            seen.replaceAll("\\p{Cntrl}+", " "));
    file.ifPresent(path -> {
      try {
        Files.writeString(
            path,
            line.substring(0, Math.min(line.length(), MAX_SEEN)) + "\n",
            StandardOpenOption.CREATE,
            StandardOpenOption.APPEND);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    });
  }
}
