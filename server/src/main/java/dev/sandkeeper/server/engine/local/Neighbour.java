package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.RemoteEnd;
import dev.sandkeeper.server.engine.UsageReading;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/**
 * The state folder of another engine on this machine, whose server was killed or stands still. The
 * control groups are common to both, so its sandboxes can be measured and killed from here. What
 * else is left of them is removed if the folder's lock can be had; a server that only stands still
 * has it, and clears up when it goes on.
 */
final class Neighbour {
  private final CgroupTree tree;
  private final OciRuntimes runtimes;
  private final StateFolder state;

  /**
   * Knows a state folder.
   *
   * @param tree the control groups of both
   * @param programs the OCI runtimes
   * @param state the folder
   */
  Neighbour(CgroupTree tree, List<Path> programs, StateFolder state) {
    this.tree = tree;
    this.state = state;
    this.runtimes = new OciRuntimes(programs, state);
  }

  /**
   * Ends a sandbox.
   *
   * @throws EngineException {@code FAILED} when something of it could not be removed; calling again
   *     is safe
   */
  RemoteEnd end(SandboxId id) {
    try (FileChannel lockFile = FileChannel.open(state.lock(), StandardOpenOption.WRITE)) {
      return end(id, locks(lockFile));
    } catch (IOException e) {
      // Removed, or another user's: its sandboxes may be reached all the same.
      return end(id, false);
    }
  }

  private RemoteEnd end(SandboxId id, boolean abandoned) {
    OptionalInt range = tree.rangeOf(id);
    Optional<UsageReading> usage = Optional.empty();
    if (range.isPresent()) {
      Cgroup cgroup = tree.sandbox(range.getAsInt(), id);
      if (!mayKill(cgroup)) {
        return new RemoteEnd.OutOfReach();
      }
      Meter meter = new Meter(cgroup, state.meter(id), System::nanoTime);
      meter.sample();
      LocalEngine.kill(id, cgroup);
      usage = Optional.of(meter.finish());
    }
    if (abandoned) {
      LocalEngine.remove(id, runtimes, state.sandbox(id));
      range.ifPresent(claimed -> tree.release(claimed, Optional.of(id)));
    }
    return new RemoteEnd.Gone(usage);
  }

  /** A server in a user namespace of its own has processes that cannot be signalled from here. */
  private static boolean mayKill(Cgroup cgroup) {
    return cgroup.processes().stream()
        .flatMap(pid -> ProcessHandle.of(pid).stream())
        .allMatch(process -> process.destroyForcibly() || !process.isAlive());
  }

  private static boolean locks(FileChannel lockFile) throws IOException {
    try {
      @Nullable FileLock lock = lockFile.tryLock();
      return lock != null;
    } catch (OverlappingFileLockException e) {
      return false;
    }
  }
}
