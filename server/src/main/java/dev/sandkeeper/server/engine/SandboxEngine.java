package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.util.List;
import java.util.Optional;

/**
 * Something that runs sandboxes. Sandboxes outlive the engine object: closing it, or losing the
 * process it lives in, ends no sandbox; a later engine over the same place finds them again.
 *
 * <p>All methods block and may be called from any thread.
 */
public interface SandboxEngine extends AutoCloseable {

  /** Returns the engine's name as templates and records know it, for example {@code local}. */
  String name();

  /**
   * Returns the names of what it can isolate sandboxes with, the default first; empty where it
   * offers no choice.
   */
  List<String> runtimes();

  /** Says whether sandboxes can be made from templates of its own, by their names. */
  boolean hasTemplates();

  /** Says whether it keeps records of sandboxes that ended, for {@link #record}. */
  boolean keepsRecords();

  /**
   * Proves, at little cost, that it can work: asked now and then, also while nothing else is.
   *
   * @throws EngineException {@code UNAVAILABLE} when it cannot, saying why
   */
  void check();

  /**
   * Starts a sandbox and waits until it can take work.
   *
   * @param spec what to start; its id must not run in this engine already
   * @return the running sandbox
   * @throws EngineException {@code UNAVAILABLE} when the engine cannot start anything now, {@code
   *     FULL} when it has as many as it may, {@code FAILED} when this sandbox could not be started;
   *     nothing of it is left then. After {@code UNAVAILABLE} it may run all the same, where the
   *     answer was lost: {@link #destroy} ends it
   */
  EngineSandbox create(SandboxSpec spec);

  /**
   * Takes up a sandbox that was started by an earlier engine object over the same place. Its files,
   * interpreter contexts and executions live on; what becomes of the executions is said by {@link
   * EngineSandbox#takeUp}. One that is paused stays so.
   *
   * @param id the sandbox
   * @param generation the generation it was created with; another one is not adopted
   * @return the sandbox, or empty when it does not run or does not answer in time
   * @throws EngineException {@code UNAVAILABLE} when the engine cannot say what runs, or cannot
   *     take it up yet
   */
  Optional<EngineSandbox> adopt(SandboxId id, long generation);

  /**
   * Returns everything that really runs in this engine's place, also what nobody remembers, in no
   * particular order: of this server, and where several servers on one database share the place, of
   * all of them; never of another database. A sandbox that ended while nobody looked is listed
   * until it is destroyed, which gives its last usage.
   *
   * @throws EngineException {@code UNAVAILABLE} when the engine cannot say what runs
   */
  List<EngineInstance> list();

  /**
   * Ends a sandbox at once, by its id alone. Does nothing when it does not exist.
   *
   * @param id the sandbox
   * @return its last usage when there was something to read
   * @throws EngineException {@code FAILED} when it could not be ended; calling again is safe
   */
  Optional<UsageReading> destroy(SandboxId id);

  /**
   * Returns what it has itself on record of a sandbox that ended: not what this server told it or
   * counted, but what the engine would bill by. Any engine object of the same account can say.
   *
   * @param remoteId what {@link EngineSandbox#remoteId} returned
   * @return empty when it keeps no records, or does not have all of this one yet
   * @throws EngineException {@code UNAVAILABLE} when the engine cannot say
   */
  Optional<EngineRecord> record(String remoteId);

  /**
   * Returns where this engine object runs its sandboxes, in words by which others of its kind tell
   * whether they reach them; the same for as long as they can run. Begins with the engine's name
   * and a colon, and is one line.
   */
  String place();

  /**
   * Ends a sandbox of another engine object, whose server gives no sign of life: it was killed, or
   * stands still and may go on at any time, or only cannot be heard. Idempotent.
   *
   * @param id the sandbox
   * @param place of the other engine object
   * @throws EngineException {@code FAILED} when it could not be ended; calling again is safe
   */
  RemoteEnd end(SandboxId id, String place);

  /** Lets go of everything but the sandboxes, which run on. */
  @Override
  void close();
}
