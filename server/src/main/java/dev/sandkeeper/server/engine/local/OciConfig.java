package dev.sandkeeper.server.engine.local;

import com.typesafe.config.ConfigRenderOptions;
import com.typesafe.config.ConfigValueFactory;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Writes the configuration by which an OCI runtime starts a sandbox. */
final class OciConfig {

  static final String GENERATION = "dev.sandkeeper.generation";
  static final String RANGE = "dev.sandkeeper.range";

  /** Where {@code launch.sh} puts the root, in a mount namespace of its own. */
  private static final String ROOT = "/mnt";

  private static final long MIB = 1024 * 1024;
  private static final long CPU_PERIOD_MICROS = 100_000;

  /** To become the user, and to end what the user started. */
  private static final List<String> AGENT_CAPABILITIES =
      List.of("CAP_SETUID", "CAP_SETGID", "CAP_KILL");

  private static final List<String> MASKED =
      List.of(
          "/proc/acpi",
          "/proc/asound",
          "/proc/cgroups",
          "/proc/cmdline",
          "/proc/config.gz",
          "/proc/diskstats",
          "/proc/interrupts",
          "/proc/iomem",
          "/proc/ioports",
          "/proc/kallsyms",
          "/proc/kcore",
          "/proc/key-users",
          "/proc/keys",
          "/proc/kmsg",
          "/proc/kpagecount",
          "/proc/latency_stats",
          "/proc/modules",
          "/proc/partitions",
          "/proc/pressure",
          "/proc/sched_debug",
          "/proc/schedstat",
          "/proc/scsi",
          "/proc/slabinfo",
          "/proc/softirqs",
          "/proc/swaps",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/proc/vmallocinfo",
          "/proc/zoneinfo");

  private static final List<String> READ_ONLY =
      List.of("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger");

  private final Skeleton skeleton;
  private final boolean limitsSwap;
  private final List<String> interpreters;
  private final Map<String, Object> seccomp = Seccomp.profile();

  /**
   * Prepares for all sandboxes of an engine.
   *
   * @param interpreters what the agent is told of them
   */
  OciConfig(Skeleton skeleton, boolean limitsSwap, Interpreters interpreters) {
    this.skeleton = skeleton;
    this.limitsSwap = limitsSwap;
    this.interpreters = interpreters.agentArguments();
  }

  /**
   * Returns the content of a {@code config.json}.
   *
   * @param spec the sandbox
   * @param range the id range it got, and {@code firstId} its first id
   * @param cgroupPath its group in every hierarchy
   */
  String render(SandboxSpec spec, int range, long firstId, String cgroupPath) {
    Map<String, Object> config = new HashMap<>();
    config.put("ociVersion", "1.0.2");
    config.put("hostname", "sandbox");
    config.put("root", Map.of("path", ROOT, "readonly", false));
    config.put("process", process(spec));
    config.put("mounts", mounts());
    config.put("linux", linux(spec, firstId, cgroupPath));
    config.put(
        "annotations",
        Map.of(GENERATION, Long.toString(spec.generation()), RANGE, Integer.toString(range)));
    return ConfigValueFactory.fromMap(config).render(ConfigRenderOptions.concise());
  }

  private Map<String, Object> process(SandboxSpec spec) {
    List<String> arguments = new ArrayList<>(skeleton.agentArguments());
    arguments.add(Long.toString(spec.paid().toMillis()));
    arguments.add(Integer.toString(spec.maxProcesses()));
    arguments.add(Integer.toString(spec.memoryMib()));
    arguments.add(String.join(",", spec.imports()));
    arguments.addAll(interpreters);
    Map<String, Object> capabilities = new HashMap<>();
    for (String set : List.of("bounding", "effective", "inheritable", "permitted", "ambient")) {
      capabilities.put(set, AGENT_CAPABILITIES);
    }
    return Map.of(
        "terminal",
        false,
        "user",
        Map.of("uid", Guest.AGENT_ID, "gid", Guest.AGENT_ID),
        "args",
        arguments,
        "env",
        List.of("PATH=/usr/bin:/bin"),
        "cwd",
        "/",
        "capabilities",
        capabilities,
        "rlimits",
        // Others are inherited: what root limited for this user cannot be raised here.
        List.of(Map.of("type", "RLIMIT_CORE", "soft", 0, "hard", 0)),
        "noNewPrivileges",
        true);
  }

  private List<Object> mounts() {
    List<Object> mounts = new ArrayList<>();
    // Nobody but the agent's group sees processes of other users, the agent's among them.
    mounts.add(
        mount(
            "/proc",
            "proc",
            "proc",
            List.of("nosuid", "noexec", "nodev", "hidepid=2", "gid=" + Guest.AGENT_ID)));
    mounts.add(
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            List.of("nosuid", "noexec", "strictatime", "mode=755", "size=64k")));
    mounts.add(
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            List.of("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620")));
    mounts.add(
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            List.of("nosuid", "noexec", "nodev", "mode=1777", "size=64m")));
    for (String name : skeleton.boundFolders()) {
      mounts.add(mount("/" + name, "bind", "/" + name, List.of("rbind", "ro", "nosuid", "nodev")));
    }
    return mounts;
  }

  private static Map<String, Object> mount(
      String destination, String type, String source, List<String> options) {
    return Map.of("destination", destination, "type", type, "source", source, "options", options);
  }

  private Map<String, Object> linux(SandboxSpec spec, long firstId, String cgroupPath) {
    List<Object> mapping =
        List.of(Map.of("containerID", 0, "hostID", firstId, "size", IdRanges.SIZE));
    List<Object> namespaces = new ArrayList<>();
    for (String type : List.of("pid", "network", "ipc", "uts", "mount", "user", "cgroup")) {
      namespaces.add(Map.of("type", type));
    }
    return Map.of(
        "namespaces", namespaces,
        "uidMappings", mapping,
        "gidMappings", mapping,
        "cgroupsPath", cgroupPath,
        "resources", resources(spec),
        "seccomp", seccomp,
        "maskedPaths", MASKED,
        "readonlyPaths", READ_ONLY);
  }

  private Map<String, Object> resources(SandboxSpec spec) {
    long memory = spec.memoryMib() * MIB;
    Map<String, Object> memoryLimits = new HashMap<>();
    memoryLimits.put("limit", memory);
    if (limitsSwap) {
      // Memory and swap together: the same number leaves no swap.
      memoryLimits.put("swap", memory);
    }
    return Map.of(
        "memory",
        memoryLimits,
        "cpu",
        Map.of("quota", spec.cpuCores() * CPU_PERIOD_MICROS, "period", CPU_PERIOD_MICROS),
        "pids",
        Map.of("limit", spec.maxProcesses() + Guest.AGENT_PROCESSES),
        "devices",
        List.of(Map.of("allow", false, "access", "rwm")));
  }
}
