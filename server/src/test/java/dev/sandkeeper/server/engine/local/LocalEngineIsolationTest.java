package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.Recording;
import java.time.Duration;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What code in a real sandbox cannot do: to the host, to the agent, and beyond its limits. */
class LocalEngineIsolationTest {

  private static EngineFixture fixture;
  private static EngineSandbox sandbox;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
  }

  private static String bash(String source) throws Exception {
    Recording recording = EngineFixture.run(sandbox, EngineFixture.bash(source));
    return recording.stdout() + recording.stderr();
  }

  private static Recording python(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.python(source));
  }

  /** Runs it in a sandbox that nobody else has. */
  private static Recording bashApart(String source) throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      return EngineFixture.run(other.sandbox(), EngineFixture.bash(source));
    }
  }

  @Test
  void codeHasNoRightsWhicheverWayItRuns() throws Exception {
    String status = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
    String expected =
        """
        CapInh:\t0000000000000000
        CapPrm:\t0000000000000000
        CapEff:\t0000000000000000
        CapAmb:\t0000000000000000
        NoNewPrivs:\t1
        Seccomp:\t2
        """;

    assertThat(bash(status + " | grep -v CapBnd")).isEqualTo(expected);
    // The interpreter itself, which was never executed anew: what it holds effectively.
    Recording own =
        python(
            "print([l.split()[1] for l in open('/proc/self/status')"
                + " if l[:6] in ('CapPrm', 'CapEff', 'CapInh', 'CapAmb')], __import__('os').getresuid())");
    assertThat(own.stdout())
        .isEqualTo(
            "['"
                + "0".repeat(16)
                + "'"
                + (", '" + "0".repeat(16) + "'").repeat(3)
                + "] (1000, 1000, 1000)\n");
  }

  @Test
  void agentIsOutOfReach() throws Exception {
    String tries =
        """
        import os, ctypes, socket
        libc = ctypes.CDLL(None, use_errno=True)
        print(os.path.exists('/proc/1'))
        for name, action in (
            ('mem', lambda: open('/proc/1/mem', 'rb+')),
            ('environ', lambda: open('/proc/1/environ')),
            ('fds', lambda: os.listdir('/proc/1/fd')),
            ('kill', lambda: os.kill(1, 9)),
            ('socket', lambda: socket.socket(socket.AF_UNIX).connect('/run/sandkeeper/engine.sock')),
            ('folder', lambda: os.listdir('/run/sandkeeper')),
            ('agent', lambda: open('/opt/sandkeeper/agent.py', 'a')),
        ):
            try:
                action()
                print(name, 'worked')
            except OSError:
                pass
        print('ptrace', libc.ptrace(16, 1, 0, 0))
        for uid in (0, 998):
            try:
                os.setuid(uid)
                print('setuid', uid, 'worked')
            except OSError:
                pass
        """;

    assertThat(python(tries).stdout()).isEqualTo("False\nptrace -1\n");
  }

  @Test
  void supervisorsAreOutOfReachToo() throws Exception {
    assertOnlyTheUsersProcessesAreInReach();
  }

  private static void assertOnlyTheUsersProcessesAreInReach() throws Exception {
    // All processes but the user's own are hidden, and signals to them fail.
    assertThat(bash("ls /proc | grep -cE '^[0-9]+$'")).matches("[1-9]\\n");
    assertThat(
            python(
                    """
                    import os
                    sent = 0
                    for pid in range(1, 300):
                        try:
                            os.kill(pid, 0)
                            sent += os.stat('/proc/%d' % pid).st_uid != 1000
                        except OSError:
                            pass
                    sent
                    """)
                .results())
        .containsEntry("text/plain", "0");
  }

  @Test
  void relayOfPortsIsOutOfReachToo() throws Exception {
    // Asking for a port starts it.
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> sandbox.connect(9))
        .satisfies(
            refusal -> assertThat(refusal.kind()).isEqualTo(EngineException.Kind.PORT_CLOSED));

    assertOnlyTheUsersProcessesAreInReach();
  }

  @Test
  void thereIsNoNetworkButItself() throws Exception {
    assertThat(bash("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '")).isEqualTo("lo\n");
    assertThat(
            python(
                    """
                    import socket
                    def tried():
                        try:
                            socket.create_connection(('192.0.2.1', 80), 2)
                            return 'connected'
                        except OSError as e:
                            return e.errno
                    tried()
                    """)
                .results())
        .containsEntry("text/plain", "101");
    assertThat(
            python(
                    "import socket\na = socket.create_server(('127.0.0.1', 0))\n"
                        + "b = socket.create_connection(a.getsockname())\nb.close()\na.close()\n1")
                .results())
        .containsEntry("text/plain", "1");
  }

  /** AF_VSOCK, which no network namespace holds, AF_ALG, AF_NETLINK, AF_PACKET, AF_XDP. */
  @ParameterizedTest
  @ValueSource(ints = {40, 38, 16, 17, 44})
  void otherSocketFamiliesAreRefused(int family) throws Exception {
    assertThat(python("import socket\nsocket.socket(" + family + ", socket.SOCK_DGRAM)").errors())
        .singleElement()
        .satisfies(error -> assertThat(error.name()).isEqualTo("PermissionError"));
  }

  /** Multipath TCP, UDP-Lite, SCTP. */
  @ParameterizedTest
  @ValueSource(strings = {"STREAM, 262", "DGRAM, 136", "STREAM, 132"})
  void otherProtocolsOfIpAreRefused(String protocol) throws Exception {
    assertThat(
            python("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_" + protocol + ")")
                .errors())
        .singleElement()
        .satisfies(error -> assertThat(error.name()).isEqualTo("PermissionError"));
  }

  /** The kernel has one bound on them for the whole machine. */
  @Test
  void networkSocketsHoldLessThanTheSandboxMayHave() throws Exception {
    Recording recording =
        bashApart(
            """
            python3 - <<'END'
            import socket
            listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            held, kept = 0, []
            for _ in range(800):
                try:
                    one = socket.create_connection(listener.getsockname(), 2)
                except OSError:
                    break
                kept.append((one, listener.accept()[0]))
                for end in kept[-1]:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
                    end.setblocking(False)
                    try:
                        while True:
                            held += end.send(bytes(1000000))
                    except OSError:
                        pass
                print(held, flush=True)
            END
            """);

    assertThat(recording.stdout().lines().mapToLong(Long::parseLong).max().orElse(0))
        .isBetween(1L, 128L << 20);
  }

  /** unshare, mount, bpf, io_uring_setup, userfaultfd, keyctl, add_key, setns, perf, clone3. */
  @ParameterizedTest
  @ValueSource(ints = {272, 165, 321, 425, 323, 250, 248, 308, 298, 435})
  void dangerousCallsAreRefused(int call) throws Exception {
    assertThat(
            python(
                    "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
                        + "(libc.syscall("
                        + call
                        + ", 0x10000000, 0, 0, 0, 0),"
                        + " ctypes.get_errno() in (1, 38))")
                .results())
        .containsEntry("text/plain", "(-1, True)");
  }

  @Test
  void namespacesCannotBeMade() throws Exception {
    assertThat(bash("unshare -U true && echo made")).doesNotContain("made");
    assertThat(
            python(
                    "import ctypes\nlibc = ctypes.CDLL(None)\n"
                        + "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)")
                .results())
        .containsEntry("text/plain", "-1");
  }

  @Test
  void hostFilesAreReadOnlyOrNotThere() throws Exception {
    assertThat(bash("touch /usr/x /etc/x /x /opt/sandkeeper/x 2>/dev/null; echo $?"))
        .isEqualTo("1\n");
    assertThat(bash("ls /root /sys /var; cat /etc/shadow 2>&1 | head -1; id -un"))
        .contains("No such file")
        .endsWith("user\n");
    assertThat(bash("wc -c < /proc/kcore 2>/dev/null; wc -c < /proc/keys 2>/dev/null; echo k"))
        .doesNotContain("[1-9]");
    assertThat(bash("echo x > /proc/sys/kernel/hostname")).contains("Read-only");
  }

  @Test
  void programsOfTheHostRun() throws Exception {
    assertThat(bash("perl -e 'print 6*7' 2>/dev/null || echo 42; awk 'BEGIN{print 1}'; date +%Z"))
        .isEqualTo("421\nUTC\n");
    assertThat(bash("python3 -c 'import ssl, sqlite3; print(1)'")).isEqualTo("1\n");
  }

  @Test
  void diskLimitHoldsForAllWritableFoldersTogether() throws Exception {
    Recording recording =
        bashApart(
            "head -c 40M /dev/zero > /tmp/a; head -c 40M /dev/zero > /home/user/b;"
                + " head -c 40M /dev/zero > /var/tmp/c; du -cm /tmp /home/user /var/tmp | tail -1");

    assertThat(recording.stderr()).contains("No space left");
    assertThat(Integer.parseInt(recording.stdout().split("\\s", -1)[0])).isLessThanOrEqualTo(64);
  }

  @Test
  void emptyFilesInSharedMemoryAreBounded() throws Exception {
    Recording recording = bashApart("cd /dev/shm && seq 30000 | xargs touch; ls | wc -l");

    assertThat(recording.stderr()).contains("No space left");
    assertThat(Integer.parseInt(recording.stdout().strip())).isBetween(1000, 16384);
  }

  @Test
  void forkBombIsHeldAndEnded() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording recording =
          EngineFixture.run(
              other.sandbox(),
              EngineFixture.command(
                  Duration.ofSeconds(2), "bash", "-c", "b() { b | b & }; b; sleep 60"));

      assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
      Recording after =
          EngineFixture.run(other.sandbox(), EngineFixture.bash("ls /proc | grep -cE '^[0-9]+$'"));
      assertThat(after.stdout()).matches("[1-9]\\n");
    }
  }

  @Test
  void agentWorksWhileAForkBombRuns() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording bomb = new Recording();
      var ignored =
          other
              .sandbox()
              .start(
                  EngineFixture.command(
                      Duration.ofSeconds(5), "bash", "-c", "b() { b | b & }; b; sleep 60"),
                  bomb);
      bomb.awaitStarted();

      assertThat(other.sandbox().files().stat("/tmp").mode()).isEqualTo(01777);
      bomb.await();
    }
  }

  @Test
  void memoryBombIsToldAsSuchAndTheSandboxLivesOn() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording command =
          EngineFixture.run(
              other.sandbox(),
              EngineFixture.command(
                  Duration.ofSeconds(30), "python3", "-c", "x = bytearray(10**9)"));
      assertThat(command.await().reason()).isEqualTo(Reason.OUT_OF_MEMORY);
      assertThat(command.await().peakMemoryBytes().getAsLong()).isGreaterThan(100_000_000);

      Recording cell =
          EngineFixture.run(other.sandbox(), EngineFixture.python("x = bytearray(10**9)"));
      assertThat(cell.await().reason()).isEqualTo(Reason.OUT_OF_MEMORY);

      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("3")).results())
          .containsEntry("text/plain", "3");
      assertThat(other.sandbox().usage().peakMemoryBytes().getAsLong())
          .isBetween(200L << 20, 256L << 20);
    }
  }

  @Test
  void sandboxesHaveIdsOfTheirOwn() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      String mine = bash("cat /proc/self/uid_map");
      String theirs =
          EngineFixture.run(other.sandbox(), EngineFixture.bash("cat /proc/self/uid_map")).stdout();

      long first = Long.parseLong(mine.strip().split("\\s+", -1)[1]);
      long second = Long.parseLong(theirs.strip().split("\\s+", -1)[1]);
      assertThat(Math.abs(first - second)).isGreaterThanOrEqualTo(IdRanges.SIZE);
      assertThat(mine.strip().split("\\s+", -1)[2]).isEqualTo(Integer.toString(IdRanges.SIZE));
    }
  }

  @Test
  void killingEverythingOneMayHarmsOnlyOneself() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      assertThat(
              EngineFixture.run(other.sandbox(), EngineFixture.bash("kill -9 -1; echo me"))
                  .stdout())
          .contains("me");
      for (int i = 0; i < 3; i++) {
        assertThat(EngineFixture.run(other.sandbox(), EngineFixture.bash("echo on")).stdout())
            .isEqualTo("on\n");
      }
    }
  }
}
