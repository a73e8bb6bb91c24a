package dev.sandkeeper.server;

import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.config.Configuration;
import dev.sandkeeper.server.engine.EngineHealth;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.engine.guard.GuardSettings;
import dev.sandkeeper.server.engine.guard.GuardedEngine;
import dev.sandkeeper.server.sandbox.EngineRouting;
import dev.sandkeeper.server.telemetry.EngineInstruments;
import dev.sandkeeper.server.telemetry.EngineReading;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;

/** Puts the engines together, each behind its guard. */
final class EngineAssembly implements AutoCloseable {
  private final List<GuardedEngine> guards = new ArrayList<>();
  private final EngineRouting routing;
  private final Engines engines;

  /**
   * An engine to be added.
   *
   * @param engine the engine, which is closed with the server
   * @param capacity how many sandboxes may run in it, of all servers together; empty for no bound
   */
  record Added(SandboxEngine engine, OptionalInt capacity) {}

  /**
   * Puts them together.
   *
   * @throws StartException when the configuration names an engine that is not among them
   */
  EngineAssembly(List<Added> added, Configuration.Engines settings, EngineInstruments instruments) {
    List<Engines.Member> members = new ArrayList<>();
    for (Added one : added) {
      GuardedEngine guard =
          new GuardedEngine(
              one.engine(), guardSettings(settings.guard()), InstantSource.system(), instruments);
      guards.add(guard);
      members.add(new Engines.Member(guard, one.capacity(), guard));
    }
    try {
      engines = new Engines(settings.standard(), members);
      routing = new EngineRouting(engines, settings.tiers(), settings.fallback());
    } catch (SandkeeperException e) {
      close();
      throw new StartException(
          "engine.default, engine.tiers or engine.fallback: "
              + e.context().get("engine")
              + " (expected: one of "
              + e.context().get("engines")
              + ")",
          e);
    }
    instruments.observe(this::readings);
  }

  private static GuardSettings guardSettings(Configuration.EngineGuard guard) {
    return new GuardSettings(
        guard.window(),
        guard.minimumCalls(),
        guard.failurePercent(),
        guard.openTime(),
        guard.trialCalls(),
        guard.maxStarting());
  }

  /** Returns which engine runs what. */
  EngineRouting routing() {
    return routing;
  }

  /** Returns the engines. */
  Engines engines() {
    return engines;
  }

  /** Returns what checks each engine, to be done now and then. */
  List<Runnable> checks() {
    return guards.stream().<Runnable>map(guard -> guard::look).toList();
  }

  private List<EngineReading> readings() {
    return engines.all().stream()
        .map(member -> {
          EngineHealth health = member.monitor().health();
          return new EngineReading(
              member.name(),
              health.healthy(),
              health.breaker().name().toLowerCase(Locale.ROOT),
              health.starting());
        })
        .toList();
  }

  /** Lets go of everything but the sandboxes. */
  @Override
  public void close() {
    guards.forEach(GuardedEngine::close);
  }
}
