package dev.sandkeeper.server.engine.local;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;

/**
 * A sandbox's group in the version 2 tree.
 *
 * @param folder the group
 */
record CgroupV2(Path folder) implements Cgroup {

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

  @Override
  public Freezer freezer() {
    return Freezer.ofVersionTwo(folder);
  }
}
