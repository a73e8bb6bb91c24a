package dev.sandkeeper.server.engine.local;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * A sandbox's group in the version 2 tree.
 *
 * @param folder the group
 */
record CgroupV2(Path folder) implements Cgroup {

  /** What groups have by default. */
  private static final int WEIGHT = 100;

  @Override
  public List<Path> make(GroupLimits limits) throws IOException {
    Path range = Objects.requireNonNull(folder.getParent());
    Path parent = Objects.requireNonNull(range.getParent());
    Files.createDirectories(range);
    for (Path above : List.of(parent, range)) {
      CgroupFiles.write(above.resolve("cgroup.subtree_control"), "+cpu +memory +pids");
    }
    Files.createDirectories(folder);
    CgroupFiles.write(folder.resolve("memory.max"), limits.memoryBytes());
    if (limits.withoutSwap()) {
      CgroupFiles.write(folder.resolve("memory.swap.max"), 0);
    }
    CgroupFiles.write(
        folder.resolve("cpu.max"), limits.cpuQuotaMicros() + " " + GroupLimits.CPU_PERIOD_MICROS);
    CgroupFiles.write(folder.resolve("pids.max"), limits.processes());
    return List.of(folder.resolve("cgroup.procs"));
  }

  @Override
  public OptionalLong cpuMicros() {
    return CgroupFiles.keyed(folder.resolve("cpu.stat"), "usage_usec");
  }

  @Override
  public OptionalLong memoryBytes() {
    OptionalLong usage = CgroupFiles.number(folder.resolve("memory.current"));
    OptionalLong inactive = CgroupFiles.keyed(folder.resolve("memory.stat"), "inactive_file");
    if (usage.isEmpty() || inactive.isEmpty()) {
      return OptionalLong.empty();
    }
    return OptionalLong.of(Math.max(0, usage.getAsLong() - inactive.getAsLong()));
  }

  /** Told since Linux 5.19. */
  @Override
  public OptionalLong peakMemoryBytes() {
    return CgroupFiles.number(folder.resolve("memory.peak"));
  }

  @Override
  public long outOfMemoryKills() {
    return CgroupFiles.keyed(folder.resolve("memory.events"), "oom_kill").orElse(0);
  }

  @Override
  public List<Long> processes() {
    return CgroupFiles.processes(folder);
  }

  /** It counts as the group's memory. */
  @Override
  public void limitSocketMemory(long bytes) {}

  @Override
  public void giveWay(boolean gives) throws IOException {
    // Its range's group is the one that stands beside those of other sandboxes.
    Path range = Objects.requireNonNull(folder.getParent());
    CgroupFiles.giveWay(range, gives, "cpu.weight", WEIGHT);
  }

  @Override
  public Freezer freezer() {
    return Freezer.ofVersionTwo(folder);
  }
}
