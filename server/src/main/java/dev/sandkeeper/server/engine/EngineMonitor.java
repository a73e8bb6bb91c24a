package dev.sandkeeper.server.engine;

/** Looks after an engine. */
@FunctionalInterface
public interface EngineMonitor {
  /** Returns how the engine is now. */
  EngineHealth health();
}
