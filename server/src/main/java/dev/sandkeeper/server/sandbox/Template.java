package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.policy.CommandPolicy;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * What a sandbox is made from.
 *
 * @param name as callers name it
 * @param description what it is for
 * @param tier the price tier, which no caller chooses
 * @param engine the engine that runs its sandboxes; empty for that of its tier
 * @param engineTemplate what the engine's own template is called that they are made from; empty for
 *     the engine's default
 * @param fallbackEngines the engines that a new sandbox goes to, in order, when the one before
 *     cannot start it, at most {@value #MAX_FALLBACK_ENGINES}; empty for those of the
 *     configuration, the engine's own name alone for none
 * @param runtime the runtime that isolates them, by name; empty for the engine's default
 * @param cpuCores cores
 * @param memoryMib memory in MiB
 * @param diskMib the most files, in MiB; a sandbox gets no more than half of its memory
 * @param defaultTimeout how long a sandbox lives that does not say
 * @param maxTimeout how long a sandbox may live
 * @param imports names of the modules that Python contexts are to find loaded, at most {@value
 *     #MAX_IMPORTS} of at most {@value #MAX_IMPORT_LENGTH} characters; those that the sandbox does
 *     not have are left out
 * @param network what its sandboxes may connect to that do not say
 * @param maxNetwork the most that they may ask for
 * @param commandPolicy which commands and code may be run in its sandboxes
 */
public record Template(
    String name,
    String description,
    String tier,
    Optional<String> engine,
    Optional<String> engineTemplate,
    List<String> fallbackEngines,
    Optional<String> runtime,
    Range cpuCores,
    Range memoryMib,
    int diskMib,
    Duration defaultTimeout,
    Duration maxTimeout,
    List<String> imports,
    NetworkPolicy network,
    NetworkPolicy maxNetwork,
    CommandPolicy commandPolicy) {

  static final int MAX_FALLBACK_ENGINES = 8;
  static final int MAX_IMPORTS = 16;
  static final int MAX_IMPORT_LENGTH = 100;

  private static final Pattern MODULE =
      Pattern.compile("[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*");

  public Template {
    fallbackEngines = List.copyOf(fallbackEngines);
    if (fallbackEngines.size() > MAX_FALLBACK_ENGINES) {
      throw new IllegalArgumentException(
          "fallbackEngines of template %s: %d (expected: at most %d)"
              .formatted(name, fallbackEngines.size(), MAX_FALLBACK_ENGINES));
    }
    imports = List.copyOf(imports);
    if (imports.size() > MAX_IMPORTS) {
      throw new IllegalArgumentException(
          "imports of template %s: %d (expected: at most %d)"
              .formatted(name, imports.size(), MAX_IMPORTS));
    }
    for (String module : imports) {
      if (module.length() > MAX_IMPORT_LENGTH || !MODULE.matcher(module).matches()) {
        throw new IllegalArgumentException(
            "imports of template %s: '%s' (expected: the name of a Python module, at most %d characters)"
                .formatted(name, module, MAX_IMPORT_LENGTH));
      }
    }
  }

  /**
   * Returns what a sandbox may connect to.
   *
   * @param asked what is asked for; empty for what the template gives
   * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} for more than the template allows
   */
  NetworkPolicy network(Optional<NetworkPolicy> asked) {
    Optional<String> excess = asked.flatMap(policy -> policy.exceeds(maxNetwork));
    if (excess.isPresent()) {
      throw SandkeeperException.invalidField(
          "network", excess.get() + " (expected: within max_network of the template " + name + ")");
    }
    return asked.orElse(network);
  }

  /**
   * What may be asked for.
   *
   * @param standard what a sandbox gets that asks for nothing
   * @param min the least
   * @param max the most
   */
  public record Range(int standard, int min, int max) {
    /** Says whether the value may be asked for. */
    boolean holds(int value) {
      return value >= min && value <= max;
    }
  }
}
