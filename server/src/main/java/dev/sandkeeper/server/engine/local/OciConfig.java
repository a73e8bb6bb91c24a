package dev.sandkeeper.server.engine.local;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigException;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigParseOptions;
import com.typesafe.config.ConfigRenderOptions;
import com.typesafe.config.ConfigSyntax;
import com.typesafe.config.ConfigUtil;
import com.typesafe.config.ConfigValueFactory;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.guest.Guest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Writes the configuration by which an OCI runtime starts a sandbox. */
final class OciConfig {

  private static final String GENERATION = "dev.sandkeeper.generation";
  private static final String RANGE = "dev.sandkeeper.range";

  /** Where {@code launch.sh} puts the root, in a mount namespace of its own. */
  private static final String ROOT = "/mnt";

  private static final ConfigParseOptions JSON =
      ConfigParseOptions.defaults().setSyntax(ConfigSyntax.JSON);

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

  /**
   * What processes have below what root limited for this user. All but the first two are counted by
   * user, all processes together, and count for this server's user as well: without a limit here
   * one sandbox could take what is there for all.
   */
  private static final Map<String, Integer> RLIMITS =
      Map.of(
          "RLIMIT_CORE", 0,
          "RLIMIT_NOFILE", 4096,
          "RLIMIT_MEMLOCK", 64 << 10,
          "RLIMIT_MSGQUEUE", 128 << 10,
          "RLIMIT_SIGPENDING", 1024);

  /** The kernel has 3,072 for all sandboxes, unless its administrator says otherwise. */
  private static final int TERMINALS = 64;

  /** The kernel has 128 for all sandboxes, unless its administrator says otherwise. */
  private static final int INOTIFY_INSTANCES = 32;

  private final Skeleton skeleton;
  private final List<String> interpreters;
  private final Map<RuntimeKind, Map<String, Object>> seccomp = new EnumMap<>(RuntimeKind.class);

  /**
   * Prepares for all sandboxes of an engine.
   *
   * @param interpreters what the agent is told of them
   */
  OciConfig(Skeleton skeleton, Interpreters interpreters) {
    this.skeleton = skeleton;
    this.interpreters = interpreters.agentArguments();
    for (RuntimeKind kind : RuntimeKind.values()) {
      seccomp.put(kind, Seccomp.profile(kind));
    }
  }

  /**
   * What stands in a {@code config.json} of a sandbox.
   *
   * @param generation the sandbox's generation
   * @param range the id range it got
   */
  record Written(long generation, int range) {}

  /**
   * Reads what {@link #render} wrote; empty when there is no such file, or not the whole of it: the
   * server may have been killed before it was.
   */
  static Optional<Written> read(Path file) {
    try {
      Config annotations =
          ConfigFactory.parseString(Files.readString(file), JSON).getConfig("annotations");
      return Optional.of(
          new Written(
              annotations.getLong(ConfigUtil.quoteString(GENERATION)),
              annotations.getInt(ConfigUtil.quoteString(RANGE))));
    } catch (IOException | ConfigException e) {
      return Optional.empty();
    }
  }

  /**
   * Returns the content of a {@code config.json}.
   *
   * @param spec the sandbox
   * @param kind what will run it
   * @param range the id range it got, and {@code firstId} its first id
   * @param groupPath its group in every hierarchy, and {@code limits} those of the group
   */
  String render(
      SandboxSpec spec,
      RuntimeKind kind,
      int range,
      long firstId,
      String groupPath,
      GroupLimits limits) {
    Map<String, Object> config = new HashMap<>();
    config.put("ociVersion", "1.0.2");
    config.put("hostname", "sandbox");
    config.put("root", Map.of("path", ROOT, "readonly", false));
    config.put("process", process(spec, kind));
    config.put("mounts", mounts(kind));
    config.put("linux", linux(kind, firstId, groupPath, limits));
    if (!kind.isGvisor()) {
      config.put("hooks", Map.of("createContainer", List.of(limitInotify())));
    }
    config.put(
        "annotations",
        Map.of(GENERATION, Long.toString(spec.generation()), RANGE, Integer.toString(range)));
    return ConfigValueFactory.fromMap(config).render(ConfigRenderOptions.concise());
  }

  /**
   * Instances of inotify count for who made the user namespace, too. A limit of the sandbox's own
   * can be set from inside its user namespace only, and no runtime does it. gVisor's kernel has
   * instances of its own.
   */
  private static Map<String, Object> limitInotify() {
    // crun gives up when a hook ends before it has read what it is told.
    String read = "while read -r line; do :; done; ";
    String set = "echo " + INOTIFY_INSTANCES + " >/proc/sys/user/max_inotify_instances";
    return Map.of("path", "/bin/sh", "args", List.of("sh", "-c", read + set));
  }

  private Map<String, Object> process(SandboxSpec spec, RuntimeKind kind) {
    List<String> arguments = new ArrayList<>(skeleton.agentArguments());
    arguments.add(Long.toString(spec.paid().toMillis()));
    arguments.add(Integer.toString(spec.maxProcesses()));
    arguments.add(Integer.toString(spec.memoryMib()));
    arguments.add(String.join(",", spec.imports()));
    arguments.add(spec.network() ? Integer.toString(Guest.PROXY_PORT) : "");
    arguments.add(kind.isGvisor() ? "gvisor" : "linux");
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
        RLIMITS.entrySet().stream().map(OciConfig::rlimit).toList(),
        "noNewPrivileges",
        true);
  }

  private List<Object> mounts(RuntimeKind kind) {
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
            List.of(
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "max=" + TERMINALS)));
    mounts.add(
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            // Empty files take memory that the size does not bound.
            List.of("nosuid", "noexec", "nodev", "mode=1777", "size=64m", "nr_inodes=16k")));
    for (String name : skeleton.boundFolders()) {
      mounts.add(mount("/" + name, "bind", "/" + name, List.of("rbind", "ro", "nosuid", "nodev")));
    }
    if (kind.isGvisor()) {
      // It sees no mounts below the root, and puts memory of its own over an empty /tmp.
      mounts.add(bind("run/sandkeeper", "ro", "nosuid", "nodev", "noexec"));
      mounts.add(bind("tmp", "rw", "nosuid", "nodev"));
    }
    return mounts;
  }

  private static Map<String, Object> rlimit(Map.Entry<String, Integer> limit) {
    return Map.of("type", limit.getKey(), "soft", limit.getValue(), "hard", limit.getValue());
  }

  /** Returns a mount of a folder of the root over itself. */
  private static Map<String, Object> bind(String folder, String... options) {
    List<String> all = new ArrayList<>(List.of("bind"));
    all.addAll(List.of(options));
    return mount("/" + folder, "bind", ROOT + "/" + folder, all);
  }

  private static Map<String, Object> mount(
      String destination, String type, String source, List<String> options) {
    return Map.of("destination", destination, "type", type, "source", source, "options", options);
  }

  private Map<String, Object> linux(
      RuntimeKind kind, long firstId, String groupPath, GroupLimits limits) {
    List<Object> mapping =
        List.of(Map.of("containerID", 0, "hostID", firstId, "size", IdRanges.SIZE));
    List<Object> namespaces = new ArrayList<>();
    for (String type : List.of("pid", "network", "ipc", "uts", "mount", "user", "cgroup")) {
      namespaces.add(Map.of("type", type));
    }
    Map<String, Object> linux = new HashMap<>();
    linux.put("namespaces", namespaces);
    linux.put("uidMappings", mapping);
    linux.put("gidMappings", mapping);
    linux.put("seccomp", seccomp.get(kind));
    linux.put("maskedPaths", MASKED);
    linux.put("readonlyPaths", READ_ONLY);
    if (kind.makesGroups()) {
      linux.put("cgroupsPath", groupPath);
      linux.put("resources", resources(limits));
    }
    return linux;
  }

  private static Map<String, Object> resources(GroupLimits limits) {
    Map<String, Object> memory = new HashMap<>();
    memory.put("limit", limits.memoryBytes());
    if (limits.withoutSwap()) {
      // Memory and swap together: the same number leaves no swap.
      memory.put("swap", limits.memoryBytes());
    }
    return Map.of(
        "memory",
        memory,
        "cpu",
        Map.of("quota", limits.cpuQuotaMicros(), "period", GroupLimits.CPU_PERIOD_MICROS),
        "pids",
        Map.of("limit", limits.processes()),
        "devices",
        List.of(Map.of("allow", false, "access", "rwm")));
  }
}
