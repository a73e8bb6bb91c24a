package dev.sandkeeper.server.engine.local;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * A sandbox's groups in the version 1 hierarchies, also those of a hybrid tree.
 *
 * @param root where the hierarchies are mounted, one folder each
 * @param path the group's path below each of them
 */
record CgroupV1(Path root, String path) implements Cgroup {

  /** Hierarchies without which nothing is measured and limited. */
  static final List<String> REQUIRED = List.of("cpu", "cpuacct", "memory", "pids");

  /** Hierarchies that a machine may lack. */
  static final List<String> OTHERS = List.of("cpuset", "freezer", "blkio", "devices", "systemd");

  /** What groups have by default. */
  private static final int SHARES = 1024;

  private static final long NANOS_PER_MICRO = 1_000;

  @Override
  public List<Path> make(GroupLimits limits) throws IOException {
    List<Path> entrances = new ArrayList<>();
    for (String controller : REQUIRED) {
      entrances.add(make(controller));
    }
    for (String controller : OTHERS) {
      if (Files.exists(root.resolve(controller))) {
        entrances.add(make(controller));
      }
    }
    String memory = Long.toString(limits.memoryBytes());
    CgroupFiles.write(folder("memory").resolve("memory.limit_in_bytes"), memory);
    if (limits.withoutSwap()) {
      // Memory and swap together: the same number leaves no swap.
      CgroupFiles.write(folder("memory").resolve("memory.memsw.limit_in_bytes"), memory);
    }
    Path cpu = folder("cpu");
    CgroupFiles.write(cpu.resolve("cpu.cfs_period_us"), GroupLimits.CPU_PERIOD_MICROS);
    CgroupFiles.write(cpu.resolve("cpu.cfs_quota_us"), limits.cpuQuotaMicros());
    CgroupFiles.write(folder("pids").resolve("pids.max"), limits.processes());
    return entrances;
  }

  private Path make(String controller) throws IOException {
    Path group = folder(controller);
    Files.createDirectories(group);
    if (controller.equals("cpuset")) {
      // New ones are empty, and nothing may enter them then.
      Path range = Objects.requireNonNull(group.getParent());
      for (String name : List.of("cpuset.cpus", "cpuset.mems")) {
        String all = Files.readString(range.resolveSibling(name)).strip();
        CgroupFiles.write(range.resolve(name), all);
        CgroupFiles.write(group.resolve(name), all);
      }
    }
    return group.resolve("cgroup.procs");
  }

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
  public void limitSocketMemory(long bytes) throws IOException {
    Path limit = folder("memory").resolve("memory.kmem.tcp.limit_in_bytes");
    if (Files.exists(limit)) {
      Files.writeString(limit, Long.toString(bytes));
    }
  }

  @Override
  public void giveWay(boolean gives) throws IOException {
    // Its range's group is the one that stands beside those of other sandboxes.
    Path range = Objects.requireNonNull(folder("cpu").getParent());
    CgroupFiles.giveWay(range, gives, "cpu.shares", SHARES);
  }

  @Override
  public Freezer freezer() {
    return Freezer.ofVersionOne(folder("freezer"));
  }

  private Path folder(String controller) {
    return root.resolve(controller).resolve(path);
  }
}
