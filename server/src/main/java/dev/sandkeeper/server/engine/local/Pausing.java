package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.time.Duration;

/**
 * Holds a sandbox still. The agent is frozen with all the rest and cannot end the sandbox when its
 * paid time is over, so a watch stands beside it for as long. One caller at a time, but for {@link
 * #on}.
 */
final class Pausing {

  /** Freezing takes well below a millisecond unless something cannot be frozen. */
  private static final Duration FREEZE_TIME = Duration.ofSeconds(2);

  private final Cgroup cgroup;
  private final Freezer freezer;
  private final PaidTimeWatch watch;
  private volatile boolean on;

  /** Finds out whether the sandbox is paused already. */
  Pausing(Cgroup cgroup, PaidTimeWatch watch) {
    this.cgroup = cgroup;
    this.freezer = cgroup.freezer();
    this.watch = watch;
    this.on = freezer.isOn();
  }

  /** Returns whether the sandbox is paused or about to be. */
  boolean on() {
    return on;
  }

  /**
   * Freezes everything; on failure nothing stays frozen.
   *
   * @param watchEnded as of {@link PaidTimeWatch#start}
   * @throws EngineException {@code FAILED} when the sandbox is ending or something in it cannot be
   *     frozen, {@code UNAVAILABLE} when this machine does not let us freeze
   */
  void begin(Runnable watchEnded) {
    // Before anything is frozen: what is started from here on would only wait.
    on = true;
    boolean begun = false;
    try {
      // First, as a server that is killed between the two must not leave a frozen sandbox alone.
      watch(watchEnded);
      if (!freezer.freeze(FREEZE_TIME)) {
        throw new EngineException(
            EngineException.Kind.FAILED,
            "the sandbox could not be frozen within "
                + FREEZE_TIME
                + ": something in it waits uninterruptibly or is just ending; it runs on");
      }
      if (cgroup.processes().isEmpty()) {
        // An empty group freezes too.
        throw new EngineException(EngineException.Kind.FAILED, "the sandbox has ended");
      }
      begun = true;
    } finally {
      if (!begun) {
        end();
      }
    }
  }

  /** Has the paid time that holds now watched over. */
  void watch(Runnable watchEnded) {
    watch.start(watchEnded);
  }

  /** Lets everything go on. */
  void end() {
    freezer.thaw();
    on = false;
    watch.stop();
  }

  /** Forgets the sandbox, which stays as it is, and so does its watch. */
  void letGo() {
    watch.letGo();
  }
}
