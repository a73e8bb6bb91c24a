package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.ExecutionEnd;

/** What is to be known of the sandbox that the agent is in, and who hears of the agent. */
public interface GuestHost {
  /** How many processes the kernel has killed there for want of memory. */
  long outOfMemoryKills();

  /** Why an execution lost its connection; waits a moment to see whether the sandbox ended. */
  ExecutionEnd.Reason whyLost();

  /**
   * Whether an execution lives on when its connection is lost, and its supervisor will dial again.
   * Where nothing but a process lies between it and this engine, a lost connection is a lost one.
   */
  boolean outlivesConnections();

  /** Whether the agent cannot dial now; what is to dial is waited for meanwhile. */
  boolean isCutOff();

  /** Whether the sandbox is being ended, which begins with a signal to its programs. */
  boolean isEnding();

  /** Whether this engine has let go of the sandbox, in which all goes on. */
  boolean isLetGo();

  /** Whether the sandbox is held still. */
  boolean isPaused();

  /**
   * Refuses what needs a sandbox that has not ended.
   *
   * @throws EngineException {@code FAILED} when it has
   */
  void requireRunning();

  /**
   * Refuses what needs a sandbox that runs.
   *
   * @throws EngineException {@code FAILED} when it has ended, {@code PAUSED} while it is paused
   */
  default void requireAwake() {
    requireRunning();
    if (isPaused()) {
      throw new EngineException(
          EngineException.Kind.PAUSED, "the sandbox is paused; resume it first");
    }
  }

  /** The agent is there, for the first time or again. */
  void controlGained();

  /** The agent's control connection ended. */
  void controlLost();

  /** The agent is about to end the sandbox by itself. */
  void goodbye(String reason);
}
