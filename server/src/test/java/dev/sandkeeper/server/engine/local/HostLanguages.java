package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.nio.file.Path;

/** Tells tests which languages this machine has interpreters for. */
public final class HostLanguages {
  private HostLanguages() {}

  public static boolean has(String language) {
    return Interpreters.find(LocalEngineSettings.of(Path.of("/")))
        .languages()
        .contains(Language.valueOf(language));
  }
}
