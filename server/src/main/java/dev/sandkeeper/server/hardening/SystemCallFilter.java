package dev.sandkeeper.server.hardening;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * A filter of system calls for the whole server: this process and everything it starts, the
 * database, the OCI runtimes and the sandboxes. It refuses calls that none of them needs and that
 * reach parts of the kernel where holes are found. Sandboxes have a list of their own on top, of
 * what they may call, which is far shorter.
 *
 * <p>It cannot be taken off again, and with it goes, for good, what set-user-id programs would
 * give.
 */
public final class SystemCallFilter {

  private static final String PLATFORM = "amd64 linux";

  // Numbers of x86_64, from the kernel's table of system calls.
  private static final int SOCKET = 41;

  /**
   * Of the kernel as a whole, or of parts that nothing here uses: acct, add_key, adjtimex, bpf,
   * clock_adjtime, clock_settime, create_module, delete_module, fanotify_init, finit_module,
   * get_kernel_syms, init_module, io_uring_enter, io_uring_register, io_uring_setup, ioperm, iopl,
   * kcmp, kexec_file_load, kexec_load, lookup_dcookie, migrate_pages, modify_ldt, move_pages,
   * nfsservctl, open_by_handle_at, perf_event_open, query_module, quotactl, quotactl_fd, reboot,
   * request_key, settimeofday, swapoff, swapon, _sysctl, syslog, uselib, userfaultfd, vhangup.
   */
  private static final int[] REFUSED = {
    163, 248, 159, 321, 305, 227, 174, 176, 300, 313, 177, 175, 426, 427, 425, 173, 172, 312, 320,
        246,
    212, 256, 154, 279, 180, 304, 298, 178, 179, 443, 169, 249, 164, 168, 167, 156, 103, 134, 323,
        153
  };

  /** Unix, IPv4, IPv6 and, for what asks for the network's devices, netlink. */
  private static final int[] SOCKET_FAMILIES = {1, 2, 10, 16};

  private static final int EPERM = 1;
  private static final int ENOSYS = 38;
  private static final int EAFNOSUPPORT = 97;

  private SystemCallFilter() {}

  /**
   * Puts the filter on this process, all its threads, and all processes that they start from now
   * on.
   *
   * @return false on a machine it is not written for, which then has none
   * @throws IllegalStateException when the kernel refuses it
   */
  public static boolean install() {
    String platform =
        (System.getProperty("os.arch") + " " + System.getProperty("os.name"))
            .toLowerCase(Locale.ROOT);
    if (!platform.equals(PLATFORM)) {
      return false;
    }
    Kernel.filter(program());
    return true;
  }

  private static List<Instruction> program() {
    List<Instruction> program = new ArrayList<>();
    // A call of another architecture, or of x32, has other numbers.
    program.add(Instruction.load(Instruction.ARCHITECTURE));
    program.add(Instruction.skipUnlessEqual(Instruction.X86_64, 2));
    program.add(Instruction.load(Instruction.NUMBER));
    program.add(Instruction.skipUnlessAtLeast(Instruction.X32_BIT, 1));
    program.add(Instruction.refuse(ENOSYS));
    for (int number : REFUSED) {
      program.add(Instruction.skipUnlessEqual(number, 1));
      program.add(Instruction.refuse(EPERM));
    }
    program.add(Instruction.skipUnlessEqual(SOCKET, 2 + 2 * SOCKET_FAMILIES.length));
    program.add(Instruction.load(Instruction.FIRST_ARGUMENT));
    for (int family : SOCKET_FAMILIES) {
      program.add(Instruction.skipUnlessEqual(family, 1));
      program.add(Instruction.allow());
    }
    program.add(Instruction.refuse(EAFNOSUPPORT));
    program.add(Instruction.allow());
    return program;
  }
}
