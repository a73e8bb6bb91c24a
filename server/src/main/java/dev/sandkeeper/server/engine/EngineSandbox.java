package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/** A sandbox that runs. All methods may be called from any thread. */
public interface EngineSandbox {

  /** Returns the id given at creation. */
  SandboxId id();

  /** Returns the generation given at creation, which tells two lives of one id apart. */
  long generation();

  /**
   * Returns what the service behind the engine calls it, for {@link SandboxEngine#record}; at most
   * 128 characters, empty where there is no such service.
   */
  default Optional<String> remoteId() {
    return Optional.empty();
  }

  /** Returns the languages it has an interpreter for, as far as is known without starting one. */
  Set<ExecutionSpec.Language> languages();

  /**
   * Starts an execution. Returns without waiting for it to run; whatever happens from here on,
   * failure included, is told to the listener.
   *
   * @param spec what to run
   * @param listener told of every event in order, on one thread of this execution
   * @return a handle on the execution
   * @throws EngineException {@code FAILED} when the sandbox has ended, {@code PAUSED} while it is
   *     paused
   */
  EngineExecution start(ExecutionSpec spec, ExecutionListener listener);

  /**
   * Goes on with executions that were started through an earlier engine object. Called once, after
   * {@link SandboxEngine#adopt}: whatever else still runs of that engine's executions is ended, as
   * nobody wants to hear of it.
   *
   * <p>Each listener is told what it was not told before, from the first byte to the end, as after
   * {@link #start}. An execution that the sandbox knows nothing of, or whose end is not known,
   * finishes as {@code LOST}.
   *
   * @param executions at most once each
   * @return their handles, in the same order
   */
  List<EngineExecution> takeUp(List<RunningExecution> executions);

  /** Returns the usage since creation, cumulative; absent parts could not be measured. */
  UsageReading usage();

  /**
   * Moves the moment at which the sandbox ends itself to {@code paid} from now. A paused sandbox
   * keeps to it too.
   *
   * @param paid greater than zero
   * @throws EngineException {@code FAILED} when the sandbox has ended or cannot be reached
   */
  void renew(Duration paid);

  /**
   * Ends the sandbox: SIGTERM to every user process, SIGKILL once {@code grace} has passed, and
   * nothing left after. Executions in flight finish with {@code SANDBOX_ENDED}. Idempotent: later
   * calls return the same reading. The callbacks of {@link #onEnd} are not called by this. A paused
   * sandbox is resumed for its grace, as programs that stand still cannot end; without a grace
   * nothing of it runs again.
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

  /**
   * Opens the way out of a sandbox that was created with one: what its programs send to the proxy
   * that their environment names comes here. Until then, and once the engine lets go of the
   * sandbox, their connections are closed. Called at most once.
   *
   * @param connections takes every connection, without waiting, and closes it in the end
   * @throws EngineException {@code FAILED} when it cannot be opened
   */
  void openNetwork(Consumer<SocketChannel> connections);

  /** Returns the contexts of the sandbox. */
  EngineContexts contexts();

  /** Returns the files of the sandbox, which can be reached while it is not paused. */
  EngineFiles files();

  /**
   * Connects to a port that a program listens on, on the loopback addresses of the sandbox.
   *
   * @param port 1 to 65535
   * @return the connection, which the caller closes
   * @throws EngineException {@code PORT_CLOSED} when nothing listens there, {@code FAILED} when the
   *     sandbox has ended or does not answer in time, {@code PAUSED} while it is paused
   */
  EngineConnection connect(int port);

  /**
   * Holds every process of the sandbox still, as it is. Its memory and files stay and go on being
   * metered, its processor time stands still, and its paid time goes on: it ends on time as if it
   * ran. Executions in flight, with their output, go on at {@link #resume}; so do their deadlines,
   * but those that have passed meanwhile end them only then. A file transfer under way waits two
   * minutes, and fails after. Idempotent.
   *
   * @return the usage now that nothing runs
   * @throws EngineException {@code FAILED} when the sandbox has ended or is ending, or something in
   *     it cannot be held, and it then runs on; {@code UNAVAILABLE} when this engine cannot pause
   */
  UsageReading pause();

  /**
   * Lets the processes of a paused sandbox go on, for what is left of its paid time: renew first
   * where that is little. Idempotent.
   *
   * @throws EngineException {@code FAILED} when the sandbox has ended, as it has when its paid time
   *     is over, or does not answer once it runs again
   */
  void resume();

  /** Returns whether the sandbox is paused, also by an earlier engine object. */
  boolean paused();
}
