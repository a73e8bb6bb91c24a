package dev.sandkeeper.server.engine.local;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The system calls a sandbox may make, as an OCI runtime takes them: a list of what is allowed, for
 * x86_64 alone, since a list for three architectures costs 15 ms more per start.
 */
final class Seccomp {

  private static final String ALLOW = "SCMP_ACT_ALLOW";
  private static final int EPERM = 1;
  private static final int ENOSYS = 38;

  /** Namespaces would give root over kernel parts that are closed otherwise. */
  private static final long CLONE_NEW_FLAGS = 0x7E02_0000L;

  private Seccomp() {}

  /** Returns the {@code linux.seccomp} part of a container's configuration. */
  static Map<String, Object> profile() {
    List<Object> rules = new ArrayList<>();
    rules.add(Map.of("names", plainCalls(), "action", ALLOW));
    // Network namespaces do not contain AF_VSOCK, and AF_ALG, AF_NETLINK, AF_PACKET open kernel
    // code.
    for (int family : new int[] {1, 2, 10}) {
      rules.add(onArgument("socket", 0, "SCMP_CMP_EQ", family, 0));
    }
    rules.add(onArgument("socketpair", 0, "SCMP_CMP_EQ", 1, 0));
    rules.add(onArgument("clone", 0, "SCMP_CMP_MASKED_EQ", CLONE_NEW_FLAGS, 0));
    for (long personality : new long[] {0x0L, 0x8L, 0x20000L, 0x20008L, 0xFFFFFFFFL}) {
      rules.add(onArgument("personality", 0, "SCMP_CMP_EQ", personality, 0));
    }
    // Its flags lie in memory where no filter sees them; libraries fall back to clone.
    rules.add(refuse("clone3", ENOSYS));
    return Map.of(
        "defaultAction",
        "SCMP_ACT_ERRNO",
        "defaultErrnoRet",
        EPERM,
        "architectures",
        List.of("SCMP_ARCH_X86_64"),
        "syscalls",
        rules);
  }

  private static List<String> plainCalls() {
    List<String> names = new ArrayList<>();
    for (String line : Resources.text("syscalls.txt").lines().toList()) {
      if (!line.isBlank() && !line.startsWith("#")) {
        names.addAll(List.of(line.strip().split(" ")));
      }
    }
    return List.copyOf(names);
  }

  private static Map<String, Object> onArgument(
      String call, int index, String operator, long value, long valueTwo) {
    return Map.of(
        "names",
        List.of(call),
        "action",
        ALLOW,
        "args",
        List.of(Map.of("index", index, "value", value, "valueTwo", valueTwo, "op", operator)));
  }

  private static Map<String, Object> refuse(String call, int error) {
    return Map.of("names", List.of(call), "action", "SCMP_ACT_ERRNO", "errnoRet", error);
  }
}
