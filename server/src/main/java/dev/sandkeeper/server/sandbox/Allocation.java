package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What a sandbox gets: what was asked for, and the template's defaults for the rest.
 *
 * @param template what it is made from
 * @param cpuCores cores it may use
 * @param memoryMib MiB of memory it may use
 * @param timeout how long it may live
 */
record Allocation(Template template, int cpuCores, int memoryMib, Duration timeout) {

  /**
   * Resolves a wish.
   *
   * @throws SandkeeperException with {@link ErrorReason#TEMPLATE_NOT_FOUND}, or {@link
   *     ErrorReason#INVALID_FIELD} for more or less than the template allows
   */
  static Allocation of(
      TemplateRepository templates,
      String templateName,
      OptionalInt cpuCores,
      OptionalInt memoryMib,
      Optional<Duration> timeout) {
    Template template =
        templates.find(templateName).orElseThrow(() -> Templates.notFound(templateName));
    Duration life = timeout.orElse(template.defaultTimeout());
    if (life.compareTo(template.maxTimeout()) > 0) {
      throw SandkeeperException.invalidField(
          "timeout", life + " (expected: at most " + template.maxTimeout() + ")");
    }
    return new Allocation(
        template,
        choose("resources.cpu_cores", cpuCores, template.cpuCores()),
        choose("resources.memory_mib", memoryMib, template.memoryMib()),
        life);
  }

  private static int choose(String field, OptionalInt asked, Template.Range range) {
    int value = asked.orElse(range.standard());
    if (!range.holds(value)) {
      throw SandkeeperException.invalidField(
          field, value + " (expected: " + range.min() + " to " + range.max() + ")");
    }
    return value;
  }
}
