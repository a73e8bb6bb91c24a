package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.time.Duration;
import java.util.Set;
import java.util.function.Consumer;

/** A sandbox that runs. All methods may be called from any thread. */
public interface EngineSandbox {

  /** Returns the id given at creation. */
  SandboxId id();

  /** Returns the generation given at creation, which tells two lives of one id apart. */
  long generation();

  /** Returns the languages it has an interpreter for, as far as is known without starting one. */
  Set<ExecutionSpec.Language> languages();

  /**
   * Starts an execution. Returns without waiting for it to run; whatever happens from here on,
   * failure included, is told to the listener.
   *
   * @param spec what to run
   * @param listener told of every event in order, on one thread of this execution
   * @return a handle on the execution
   * @throws EngineException {@code FAILED} when the sandbox has ended
   */
  EngineExecution start(ExecutionSpec spec, ExecutionListener listener);

  /** Returns the usage since creation, cumulative; absent parts could not be measured. */
  UsageReading usage();

  /**
   * Moves the moment at which the sandbox ends itself to {@code paid} from now.
   *
   * @param paid greater than zero
   * @throws EngineException {@code FAILED} when the sandbox has ended or cannot be reached
   */
  void renew(Duration paid);

  /**
   * Ends the sandbox: SIGTERM to every user process, SIGKILL once {@code grace} has passed, and
   * nothing left after. Executions in flight finish with {@code SANDBOX_ENDED}. Idempotent: later
   * calls return the same reading. The callbacks of {@link #onEnd} are not called by this.
   *
   * @param grace zero kills at once
   * @return the final usage
   * @throws EngineException {@code FAILED} when something of it could not be removed; calling again
   *     is safe
   */
  UsageReading destroy(Duration grace);

  /**
   * Asks to be told, at most once, when the sandbox ends other than by {@link #destroy}. When it
   * has ended already the callback runs at once. Called on a thread of the engine's; must not
   * throw.
   *
   * @param callback told why and with what final usage
   */
  void onEnd(Consumer<SandboxEnd> callback);

  /** Returns the files of the sandbox. */
  EngineFiles files();
}
