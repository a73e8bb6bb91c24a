package dev.sandkeeper.server.engine.e2b;

import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Supplier;

/**
 * How sandboxes are run at E2B.
 *
 * @param stateFolder what this engine remembers of its sandboxes, and by which it is told from
 *     others that use the same account
 * @param api where E2B is
 * @param apiKey asked for at every call, so that another one is taken up
 * @param template what a sandbox is made of that names none
 * @param sessionLimit how long E2B lets a sandbox run in one go; 1 h or 24 h by its plans
 * @param rotationMargin how long before that a sandbox is paused and resumed, which begins anew
 * @param startTimeout the longest a sandbox may take until its agent says that it is there
 * @param maxStarting in how many sandboxes that were handed out the agent is started at once
 */
public record E2bEngineSettings(
    Path stateFolder,
    E2bSettings api,
    Supplier<String> apiKey,
    String template,
    Duration sessionLimit,
    Duration rotationMargin,
    Duration startTimeout,
    int maxStarting) {

  public E2bEngineSettings {
    if (template.isEmpty()) {
      throw new IllegalArgumentException("template is empty (expected: a template's id or alias)");
    }
    if (rotationMargin.compareTo(sessionLimit) >= 0 || rotationMargin.isNegative()) {
      throw new IllegalArgumentException(
          "rotationMargin: " + rotationMargin + " (expected: 0 or more, less than sessionLimit)");
    }
    if (!startTimeout.isPositive()) {
      throw new IllegalArgumentException("startTimeout: " + startTimeout + " (expected: > 0)");
    }
    if (maxStarting < 1) {
      throw new IllegalArgumentException("maxStarting: " + maxStarting + " (expected: >= 1)");
    }
  }

  /** Does not tell the key. */
  @Override
  public String toString() {
    return "E2B at " + api.apiUrl();
  }
}
