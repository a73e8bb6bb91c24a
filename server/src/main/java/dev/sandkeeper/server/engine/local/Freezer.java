package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** The kernel's switch that holds every process of a control group still, also those to come. */
final class Freezer {

  private static final long LOOK_NANOS = 50_000;

  private final Path file;
  private final String frozen;
  private final String thawed;
  private final BooleanSupplier allFrozen;

  private Freezer(Path file, String frozen, String thawed, BooleanSupplier allFrozen) {
    this.file = file;
    this.frozen = frozen;
    this.thawed = thawed;
    this.allFrozen = allFrozen;
  }

  /** Returns the switch of a group in the freezer hierarchy of version 1. */
  static Freezer ofVersionOne(Path group) {
    Path state = group.resolve("freezer.state");
    // In between it reads FREEZING.
    return new Freezer(
        state, "FROZEN", "THAWED", () -> CgroupFiles.text(state).orElse("").equals("FROZEN"));
  }

  /** Returns the switch of a group of version 2. */
  static Freezer ofVersionTwo(Path group) {
    Path events = group.resolve("cgroup.events");
    return new Freezer(
        group.resolve("cgroup.freeze"),
        "1",
        "0",
        () -> CgroupFiles.keyed(events, "frozen").orElse(0) == 1);
  }

  /** The file that is written to; it lies in the group. */
  Path file() {
    return file;
  }

  /** What the file holds, and is written, when nothing is to be frozen. */
  String thawed() {
    return thawed;
  }

  /** Returns whether the group is frozen, or is to be. */
  boolean isOn() {
    return CgroupFiles.text(file).filter(text -> !text.equals(thawed)).isPresent();
  }

  /**
   * Freezes the group and waits until nothing in it runs; a group that cannot be frozen is thawed.
   *
   * @param limit the longest to wait
   * @return whether all of it is frozen
   * @throws EngineException {@code UNAVAILABLE} when the kernel's switch is not ours to use
   */
  boolean freeze(Duration limit) {
    long end = System.nanoTime() + limit.toNanos();
    try {
      do {
        // Written anew each time: older kernels miss processes that are forked meanwhile.
        CgroupFiles.write(file, frozen);
        if (allFrozen.getAsBoolean()) {
          return true;
        }
        LockSupport.parkNanos(LOOK_NANOS);
      } while (System.nanoTime() < end);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "cannot freeze by " + file + "; " + SetUp.HOW, e);
    }
    thaw();
    return false;
  }

  /**
   * Lets a frozen group go on. Does nothing when it is not frozen or gone.
   *
   * @throws EngineException {@code FAILED} when the kernel refuses
   */
  void thaw() {
    if (!isOn()) {
      return;
    }
    try {
      CgroupFiles.write(file, thawed);
    } catch (NoSuchFileException e) {
      // Its last process has ended and somebody has removed it: nothing is frozen any more.
      return;
    } catch (IOException e) {
      throw new EngineException(EngineException.Kind.FAILED, "cannot thaw by " + file, e);
    }
  }
}
