package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The engines that one new sandbox may go to, one after the other. Of one thread. */
final class EngineAttempts {
  private static final Logger logger = LoggerFactory.getLogger(EngineAttempts.class);

  /** Why a sandbox leaves an engine for the next one. */
  enum Reason {
    /** It runs as many sandboxes as it may. */
    FULL("full"),
    /** It cannot work now. */
    UNAVAILABLE("unavailable");

    private final String label;

    Reason(String label) {
      this.label = label;
    }
  }

  private final SandboxId sandboxId;
  private final List<EngineChoice> choices;
  private final Failovers failovers;
  private int left;

  /**
   * Begins with the first.
   *
   * @param choices at least one
   */
  EngineAttempts(SandboxId sandboxId, List<EngineChoice> choices, Failovers failovers) {
    this.sandboxId = sandboxId;
    this.choices = choices;
    this.failovers = failovers;
  }

  /** Returns the one that is asked now. */
  EngineChoice current() {
    return choices.get(left);
  }

  /** Says whether there is one after it. */
  boolean hasNext() {
    return left + 1 < choices.size();
  }

  /** Goes on to the next one, which there is. */
  void next(Reason reason) {
    String from = current().engine();
    left++;
    failovers.count(from, current().engine(), reason.label);
    logger
        .atWarn()
        .addKeyValue(LogKeys.SANDBOX, sandboxId)
        .addKeyValue("from", from)
        .addKeyValue("to", current().engine())
        .addKeyValue("reason", reason.label)
        .log("A new sandbox goes to another engine");
  }

  /** Returns the names of those that were asked up to now, in order. */
  List<String> asked() {
    return choices.subList(0, left + 1).stream().map(EngineChoice::engine).toList();
  }
}
