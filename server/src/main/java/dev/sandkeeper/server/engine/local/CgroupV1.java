package dev.sandkeeper.server.engine.local;

import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;

/**
 * A sandbox's groups in the version 1 hierarchies, also those of a hybrid tree.
 *
 * @param root where the hierarchies are mounted, one folder each
 * @param path the group's path below each of them
 */
record CgroupV1(Path root, String path) implements Cgroup {

  private static final long NANOS_PER_MICRO = 1_000;

  @Override
  public OptionalLong cpuMicros() {
    OptionalLong nanos = CgroupFiles.number(folder("cpuacct").resolve("cpuacct.usage"));
    return nanos.isPresent()
        ? OptionalLong.of(nanos.getAsLong() / NANOS_PER_MICRO)
        : OptionalLong.empty();
  }

  @Override
  public OptionalLong memoryBytes() {
    Path memory = folder("memory");
    OptionalLong usage = CgroupFiles.number(memory.resolve("memory.usage_in_bytes"));
    OptionalLong inactive = CgroupFiles.keyed(memory.resolve("memory.stat"), "total_inactive_file");
    if (usage.isEmpty() || inactive.isEmpty()) {
      return OptionalLong.empty();
    }
    return OptionalLong.of(Math.max(0, usage.getAsLong() - inactive.getAsLong()));
  }

  @Override
  public OptionalLong peakMemoryBytes() {
    return CgroupFiles.number(folder("memory").resolve("memory.max_usage_in_bytes"));
  }

  @Override
  public long outOfMemoryKills() {
    return CgroupFiles.keyed(folder("memory").resolve("memory.oom_control"), "oom_kill").orElse(0);
  }

  @Override
  public List<Long> processes() {
    return CgroupFiles.processes(folder("pids"));
  }

  @Override
  public Freezer freezer() {
    return Freezer.ofVersionOne(folder("freezer"));
  }

  private Path folder(String controller) {
    return root.resolve(controller).resolve(path);
  }
}
