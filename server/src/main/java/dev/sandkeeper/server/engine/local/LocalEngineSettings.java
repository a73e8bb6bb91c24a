package dev.sandkeeper.server.engine.local;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * What the local engine is told once.
 *
 * @param stateFolder where it keeps what running sandboxes need; absolute, its own, and short: a
 *     socket path below it has to fit 107 bytes
 * @param runtime the OCI runtime: a program found by PATH or in the system folders, or a path
 * @param otherRuntimes OCI runtimes that templates can name besides, the same way; those that are
 *     not there are left out
 * @param node the Node.js of JavaScript and TypeScript code: a program found in the system folders,
 *     or a path; it has to lie in {@code /usr}, which sandboxes share. They run neither when it is
 *     not there
 * @param java the Java of Java code, of a JDK 17 or newer with the module {@code jdk.jshell}: a
 *     program found in the system folders or in a folder of {@code /usr/lib/jvm}, or a path, as for
 *     {@code node}
 * @param r the R of R code, as for {@code node}
 * @param cgroupRoot where control groups are mounted
 * @param cgroupParent the folder below it, in every hierarchy, that belongs to this user
 * @param startTimeout the longest a sandbox may take until it says that it is there
 * @param sampleInterval between two looks at the memory in use, 10 ms or more
 */
public record LocalEngineSettings(
    Path stateFolder,
    String runtime,
    List<String> otherRuntimes,
    String node,
    String java,
    String r,
    Path cgroupRoot,
    String cgroupParent,
    Duration startTimeout,
    Duration sampleInterval) {

  /** The runtime unless another is named. */
  public static final String DEFAULT_RUNTIME = "runc";

  /** The runtimes besides unless others are named. */
  public static final List<String> OTHER_RUNTIMES = List.of("crun", "runsc");

  /** The Node.js unless another is named. */
  public static final String DEFAULT_NODE = "node";

  /** The Java unless another is named. */
  public static final String DEFAULT_JAVA = "java";

  /** The R unless another is named. */
  public static final String DEFAULT_R = "R";

  private static final Duration LEAST_INTERVAL = Duration.ofMillis(10);

  public LocalEngineSettings {
    if (!stateFolder.isAbsolute()) {
      throw new IllegalArgumentException(
          "stateFolder: " + stateFolder + " (expected: an absolute path)");
    }
    if (runtime.isBlank()) {
      throw new IllegalArgumentException(
          "runtime is empty (expected: a program, for example runc)");
    }
    otherRuntimes = List.copyOf(otherRuntimes);
    if (cgroupParent.isBlank() || cgroupParent.startsWith("/") || cgroupParent.contains("..")) {
      throw new IllegalArgumentException(
          "cgroupParent: " + cgroupParent + " (expected: a relative path without '..')");
    }
    if (!startTimeout.isPositive()) {
      throw new IllegalArgumentException("startTimeout: " + startTimeout + " (expected: > 0)");
    }
    if (sampleInterval.compareTo(LEAST_INTERVAL) < 0) {
      throw new IllegalArgumentException(
          "sampleInterval: " + sampleInterval + " (expected: >= " + LEAST_INTERVAL + ")");
    }
  }

  /** Returns settings with what suits a machine prepared by {@code deploy/setup-host}. */
  public static LocalEngineSettings of(Path stateFolder) {
    return new LocalEngineSettings(
        stateFolder,
        DEFAULT_RUNTIME,
        OTHER_RUNTIMES,
        DEFAULT_NODE,
        DEFAULT_JAVA,
        DEFAULT_R,
        Path.of("/sys/fs/cgroup"),
        "sandkeeper",
        Duration.ofSeconds(10),
        Duration.ofMillis(250));
  }
}
