package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.engine.Engines;
import java.util.List;
import java.util.Map;

/** Tells operators how the engines stand. */
public final class EngineStatuses {
  private final Engines engines;
  private final SandboxRepository repository;
  private final Failovers failovers;

  EngineStatuses(Engines engines, SandboxRepository repository, Failovers failovers) {
    this.engines = engines;
    this.repository = repository;
    this.failovers = failovers;
  }

  /** Returns how each engine stands, in the order of the configuration. */
  public List<EngineStatus> list() {
    Map<String, Integer> live = repository.countLive();
    return engines.all().stream()
        .map(member ->
            new EngineStatus(
                member.name(),
                member.name().equals(engines.defaultName()),
                member.monitor().health(),
                member.capacity(),
                live.getOrDefault(member.name(), 0),
                failovers.from(member.name())))
        .toList();
  }
}
