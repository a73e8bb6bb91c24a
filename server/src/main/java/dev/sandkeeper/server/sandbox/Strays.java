package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Ends what runs in the engines and is nobody's: what is in no book, what the books have as ended,
 * and what a start left behind in an engine when it went on to the next one.
 */
final class Strays {
  private static final Logger logger = LoggerFactory.getLogger(Strays.class);

  private final SandboxRepository repository;
  private final Engines engines;
  private final LiveSandboxes live;
  private final String nodeId;
  private final Predicate<SandboxId> waiting;
  private final Instruments instruments;

  /**
   * Makes it.
   *
   * @param waiting says what is this server's and not live yet
   */
  Strays(
      SandboxRepository repository,
      Engines engines,
      LiveSandboxes live,
      String nodeId,
      Predicate<SandboxId> waiting,
      Instruments instruments) {
    this.repository = repository;
    this.engines = engines;
    this.live = live;
    this.nodeId = nodeId;
    this.waiting = waiting;
    this.instruments = instruments;
  }

  /** Looks into every engine; one that cannot say what runs keeps no other from being looked at. */
  void end() {
    for (Engines.Member member : engines.all()) {
      Sweeper.guarded("unknown in " + member.name(), () -> endIn(member.engine()));
    }
  }

  private void endIn(SandboxEngine engine) {
    Set<SandboxId> unknown =
        engine.list().stream()
            .map(EngineInstance::sandboxId)
            .filter(sandboxId -> !live.knows(sandboxId, engine.name()))
            .filter(sandboxId -> !waiting.test(sandboxId))
            .collect(Collectors.toSet());
    if (unknown.isEmpty()) {
      return;
    }
    Map<SandboxId, Sandbox> booked =
        repository.findAll(unknown).stream()
            .collect(Collectors.toMap(Sandbox::sandboxId, Function.identity()));
    for (SandboxId sandboxId : unknown) {
      // It may have become live, or have ended, since the engine was asked.
      if (!live.knows(sandboxId, engine.name())) {
        end(engine, sandboxId, Optional.ofNullable(booked.get(sandboxId)));
      }
    }
  }

  private void end(SandboxEngine engine, SandboxId sandboxId, Optional<Sandbox> booked) {
    Optional<Sandbox> alive =
        booked.filter(sandbox -> !SandboxState.FINAL.contains(sandbox.state()));
    boolean leftBehind =
        alive.filter(sandbox -> !sandbox.engine().equals(engine.name())).isPresent();
    if (!leftBehind && alive.filter(sandbox -> !sandbox.nodeId().equals(nodeId)).isPresent()) {
      return; // another server's, in a place that both reach
    }
    boolean found = engine.destroy(sandboxId).isPresent();
    if (found || leftBehind) {
      instruments.sandboxOrphaned(leftBehind ? "left_behind" : "unknown");
      logger
          .atWarn()
          .addKeyValue(LogKeys.SANDBOX, sandboxId)
          .addKeyValue("engine", engine.name())
          .addKeyValue("leftBehind", leftBehind)
          .log("Unknown sandbox ended");
    }
  }
}
