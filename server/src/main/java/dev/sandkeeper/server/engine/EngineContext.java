package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.time.Instant;
import java.util.Locale;
import java.util.Optional;

/**
 * An interpreter in a sandbox, whose variables live on from one piece of code to the next.
 *
 * @param id its name in the sandbox
 * @param language of its code
 * @param workingDirectory where it begins, relative to the user's home unless absolute; empty is
 *     the home itself
 * @param createTime when it was created; empty for a default one
 */
public record EngineContext(
    ContextId id,
    Language language,
    Optional<String> workingDirectory,
    Optional<Instant> createTime) {

  public EngineContext {
    workingDirectory.ifPresent(folder -> Checks.noNul("workingDirectory", folder));
  }

  /** Returns the one in which code of a language runs that names none. */
  public static EngineContext byDefault(Language language) {
    ContextId id = new ContextId(language.name().toLowerCase(Locale.ROOT));
    return new EngineContext(id, language, Optional.empty(), Optional.empty());
  }

  /** Returns whether it is a default one, which every sandbox with the interpreter has. */
  public boolean isDefault() {
    return createTime.isEmpty();
  }
}
