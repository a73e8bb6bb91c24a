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

  private static final int AF_UNIX = 1;
  private static final int AF_INET = 2;
  private static final int AF_INET6 = 10;
  private static final int IPPROTO_TCP = 6;
  private static final int IPPROTO_UDP = 17;

  /** Namespaces would give root over kernel parts that are closed otherwise. */
  private static final long CLONE_NEW_FLAGS = 0x7E02_0000L;

  private Seccomp() {}

  /**
   * Returns the {@code linux.seccomp} part of a container's configuration for a kind of runtime.
   */
  static Map<String, Object> profile(RuntimeKind kind) {
    List<Object> rules = new ArrayList<>();
    rules.add(Map.of("names", plainCalls(), "action", ALLOW));
    // Network namespaces do not contain AF_VSOCK, and AF_ALG, AF_NETLINK, AF_PACKET open kernel
    // code; so do the other protocols of IP, such as Multipath TCP.
    rules.add(allow("socket", List.of(equal(0, AF_UNIX))));
    for (int family : new int[] {AF_INET, AF_INET6}) {
      for (int protocol : new int[] {0, IPPROTO_TCP, IPPROTO_UDP}) {
        rules.add(allow("socket", List.of(equal(0, family), equal(2, protocol))));
      }
    }
    rules.add(allow("socketpair", List.of(equal(0, AF_UNIX))));
    rules.add(allow("clone", List.of(argument(0, "SCMP_CMP_MASKED_EQ", CLONE_NEW_FLAGS, 0))));
    for (long personality : new long[] {0x0L, 0x8L, 0x20000L, 0x20008L, 0xFFFFFFFFL}) {
      rules.add(allow("personality", List.of(equal(0, personality))));
    }
    // Its flags lie in memory where no filter sees them; libraries fall back to clone. gVisor says
    // so by itself, and takes no errors of single calls.
    rules.add(kind.isGvisor() ? allow("clone3", List.of()) : refuse("clone3", ENOSYS));
    if (kind.isGvisor()) {
      // What it called pselect6, by which select is made, in 2022; a name it does not know is
      // nothing to it.
      rules.add(allow("pselect", List.of()));
    }
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

  /** Allows a call whose arguments are all as said. */
  private static Map<String, Object> allow(String call, List<Map<String, Object>> arguments) {
    return Map.of("names", List.of(call), "action", ALLOW, "args", arguments);
  }

  private static Map<String, Object> equal(int index, long value) {
    return argument(index, "SCMP_CMP_EQ", value, 0);
  }

  private static Map<String, Object> argument(
      int index, String operator, long value, long valueTwo) {
    return Map.of("index", index, "value", value, "valueTwo", valueTwo, "op", operator);
  }

  private static Map<String, Object> refuse(String call, int error) {
    return Map.of("names", List.of(call), "action", "SCMP_ACT_ERRNO", "errnoRet", error);
  }
}
