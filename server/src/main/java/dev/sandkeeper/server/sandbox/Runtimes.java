package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.SandboxEngine;
import java.util.List;
import java.util.Optional;

/** Says what isolates the sandboxes of a template. */
final class Runtimes {
  private Runtimes() {}

  /**
   * Returns the runtime of a template's sandboxes in the engine that it is for; empty where the
   * engine offers no choice.
   *
   * @throws SandkeeperException {@link ErrorReason#RUNTIME_MISSING} when the template names one
   *     that the engine does not have
   */
  static Optional<String> of(Template template, SandboxEngine engine) {
    List<String> there = engine.runtimes();
    if (template.runtime().isPresent() && !there.contains(template.runtime().get())) {
      throw SandkeeperException.of(
              ErrorReason.RUNTIME_MISSING,
              "The template names a runtime that its engine does not have; the local engine has"
                  + " those of engine.local.runtime and engine.local.other-runtimes that are"
                  + " installed.")
          .with("template", template.name())
          .with("engine", engine.name())
          .with("runtime", template.runtime().get())
          .with("runtimes", String.join(",", there));
    }
    return among(engine, template);
  }

  /**
   * Says whether an engine that the template falls back on isolates as it asks: by the runtime that
   * it names, or in the engine's one way.
   */
  static boolean has(SandboxEngine engine, Template template) {
    List<String> there = engine.runtimes();
    return there.isEmpty() || template.runtime().map(there::contains).orElse(true);
  }

  /** Returns the runtime by the engine's name for it, where {@link #has it does}. */
  static Optional<String> among(SandboxEngine engine, Template template) {
    List<String> there = engine.runtimes();
    return there.isEmpty()
        ? Optional.empty()
        : Optional.of(template.runtime().orElse(there.getFirst()));
  }
}
