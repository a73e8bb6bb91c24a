package dev.sandkeeper.server.sandbox;

import java.time.Duration;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What a sandbox is made from.
 *
 * @param name as callers name it
 * @param description what it is for
 * @param tier the price tier, which no caller chooses
 * @param engine the engine that runs it
 * @param cpuCores cores
 * @param memoryMib memory in MiB
 * @param diskMib disk in MiB
 * @param defaultTimeout how long a sandbox lives that does not say
 * @param maxTimeout how long a sandbox may live
 * @param imports names of the modules that Python contexts are to find loaded, at most {@value
 *     #MAX_IMPORTS} of at most {@value #MAX_IMPORT_LENGTH} characters; those that the sandbox does
 *     not have are left out
 */
public record Template(
    String name,
    String description,
    String tier,
    String engine,
    Range cpuCores,
    Range memoryMib,
    Range diskMib,
    Duration defaultTimeout,
    Duration maxTimeout,
    List<String> imports) {

  static final int MAX_IMPORTS = 16;
  static final int MAX_IMPORT_LENGTH = 100;

  private static final Pattern MODULE =
      Pattern.compile("[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*");

  public Template {
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
