package dev.sandkeeper.server.hardening;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

// Goal: what the server gives up is given up by all its threads and by all that it starts, and what
// it
// needs still works. Each line of the answer is a system call's name and its error, 0 for none.
final class SystemCallFilterTest {

  private static final String CALLS =
      """
      import ctypes, socket
      libc = ctypes.CDLL(None, use_errno=True)
      def call(name, number, *arguments):
          ctypes.set_errno(0)
          result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
          print(name, 0 if result >= 0 else ctypes.get_errno())
      def family(name, number):
          try:
              socket.socket(number, socket.SOCK_DGRAM).close()
              print(name, 0)
          except OSError as error:
              print(name, error.errno)
      for name, number in {
          "add_key": 248, "bpf": 321, "clock_settime": 227, "delete_module": 176, "finit_module": 313,
          "init_module": 175, "io_uring_setup": 425, "iopl": 172, "kcmp": 312, "kexec_load": 246,
          "open_by_handle_at": 304, "perf_event_open": 298, "reboot": 169, "request_key": 249,
          "swapon": 167, "syslog": 103, "userfaultfd": 323,
      }.items():
          call(name, number, 0, 0, 0, 0, 0)
      call("x32", 0x40000000 + 39)
      for name, number in {
          "unix": 1, "inet": 2, "inet6": 10, "alg": 38, "packet": 17, "vsock": 40,
      }.items():
          family(name, number)
      call("unshare", 272, 0x10000000)
      """;

  private static List<String> answer = List.of();

  @BeforeAll
  static void run() throws Exception {
    assumeThat(System.getProperty("os.arch")).isEqualTo("amd64");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-Xmx64m",
                "-cp",
                System.getProperty("java.class.path"),
                FilteredProgram.class.getName(),
                "/usr/bin/python3",
                "-c",
                CALLS)
            .redirectErrorStream(true)
            .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    answer = output.lines().toList();
  }

  @Test
  void coversThreadsThatWereThereBefore() {
    List<String> threads = answer.stream().filter(line -> line.startsWith("thread ")).toList();

    assertThat(threads).hasSizeGreaterThan(10);
    assertThat(threads).containsOnly("thread Seccomp: 2", "thread NoNewPrivs: 1");
  }

  @Test
  void refusesWhatTheServerNeverNeeds() {
    assertThat(answer)
        .contains(
            "add_key 1",
            "bpf 1",
            "clock_settime 1",
            "delete_module 1",
            "finit_module 1",
            "init_module 1",
            "io_uring_setup 1",
            "iopl 1",
            "kcmp 1",
            "kexec_load 1",
            "open_by_handle_at 1",
            "perf_event_open 1",
            "reboot 1",
            "request_key 1",
            "swapon 1",
            "syslog 1",
            "userfaultfd 1",
            "x32 38");
  }

  @Test
  void leavesOnlyTheSocketsInUse() {
    assertThat(answer).contains("unix 0", "inet 0", "inet6 0", "alg 97", "packet 97", "vsock 97");
  }

  @Test
  void leavesWhatSandboxesAreMadeWith() {
    assertThat(answer).contains("unshare 0");
  }
}
