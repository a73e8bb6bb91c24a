package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.SandboxEngine;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * Decides which engines may run a template's sandboxes, and in which order they are asked: the one
 * that the template names, or its tier's, or the default one; then those that it falls back on.
 */
public final class EngineRouting {
  private final Engines engines;
  private final Map<String, String> tiers;
  private final List<String> fallback;

  /**
   * Makes the rules.
   *
   * @param tiers which engine runs the templates of a price tier that name none; of a tier that is
   *     not there, the default engine
   * @param fallback the engines that are asked next, in order, for templates that name none
   * @throws SandkeeperException {@link ErrorReason#ENGINE_MISSING}
   */
  public EngineRouting(Engines engines, Map<String, String> tiers, List<String> fallback) {
    this.engines = engines;
    this.tiers = Map.copyOf(tiers);
    this.fallback = List.copyOf(fallback);
    tiers.values().forEach(engines::require);
    fallback.forEach(engines::require);
  }

  /** Returns the engines. */
  Engines engines() {
    return engines;
  }

  /**
   * Returns how the template's sandboxes may be run, best first. Of those that it falls back on,
   * one is left out that is not there, or that has other runtimes than the template names.
   *
   * @throws SandkeeperException {@link ErrorReason#ENGINE_MISSING} or {@link
   *     ErrorReason#RUNTIME_MISSING} when the first cannot run it
   */
  List<EngineChoice> choices(Template template) {
    String first = first(template);
    SandboxEngine engine = engines.require(first).engine();
    List<EngineChoice> choices = new ArrayList<>();
    choices.add(choice(template, first, Runtimes.of(template, engine)));
    Set<String> next =
        new LinkedHashSet<>(
            template.fallbackEngines().isEmpty() ? fallback : template.fallbackEngines());
    next.remove(first);
    for (String name : next) {
      engines
          .find(name)
          .filter(found -> Runtimes.has(found, template))
          .ifPresent(found -> choices.add(choice(template, name, Runtimes.among(found, template))));
    }
    return choices;
  }

  /**
   * Checks that a template can be run.
   *
   * @throws SandkeeperException {@link ErrorReason#ENGINE_MISSING}, {@link
   *     ErrorReason#RUNTIME_MISSING}, or {@link ErrorReason#INVALID_FIELD} for a template of the
   *     engine's where it has none
   */
  void check(Template template) {
    List<EngineChoice> choices = choices(template);
    template.fallbackEngines().forEach(engines::require);
    if (template.engineTemplate().isEmpty()) {
      return;
    }
    String value = template.engineTemplate().get();
    if (template.engine().isEmpty()) {
      throw SandkeeperException.invalidField(
          "template.engine_template", value + " (expected: none, as template.engine is empty)");
    }
    if (!engines.require(choices.getFirst().engine()).engine().hasTemplates()) {
      throw SandkeeperException.invalidField(
          "template.engine_template",
          value + " (expected: none, as the engine " + choices.getFirst().engine() + " has none)");
    }
  }

  private String first(Template template) {
    return template.engine().orElse(tiers.getOrDefault(template.tier(), engines.defaultName()));
  }

  private EngineChoice choice(Template template, String engine, Optional<String> runtime) {
    return new EngineChoice(
        engine,
        runtime,
        template.engineTemplate().filter(_ -> template.engine().equals(Optional.of(engine))),
        engines.capacity(engine));
  }
}
