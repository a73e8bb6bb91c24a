package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.ContextId;
import java.util.List;
import java.util.Optional;

/**
 * The contexts of a sandbox. They live and die with it, and are still there when another engine
 * object adopts it. All methods may be called from any thread; those that change something throw
 * {@link EngineException} {@code FAILED} when the sandbox has ended, {@code PAUSED} while it is
 * paused.
 */
public interface EngineContexts {

  /** What came of a creation. */
  enum Creation {
    /** It is there. */
    CREATED,
    /** There is another of its id. */
    EXISTS,
    /** There are as many as may be. */
    TOO_MANY
  }

  /**
   * Adds a context, whose interpreter begins with its first piece of code.
   *
   * @param context not a default one
   * @param most how many there may be, default ones not counted
   */
  Creation create(EngineContext context, int most);

  /** Returns the default contexts, then the others in the order of their creation. */
  List<EngineContext> list();

  /** Returns the context of that id. */
  default Optional<EngineContext> find(ContextId id) {
    return list().stream().filter(context -> context.id().equals(id)).findFirst();
  }

  /** Sends SIGINT to what runs in a context; does nothing when none is there, or nothing runs. */
  void interrupt(ContextId id);

  /**
   * Kills all processes of a context; the next piece of code begins with none of its variables.
   * Does nothing when none is there.
   */
  void restart(ContextId id);

  /**
   * Removes a context with all its processes. What waits there finishes as {@code NOT_STARTED}.
   *
   * @return whether there was one, other than a default one
   */
  boolean delete(ContextId id);
}
