package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.Recording;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a command can do to its launcher, its parent and of the same user, and through it to what an
 * execution is told of.
 */
class LocalEngineLauncherTest {

  private static final Duration LONG = Duration.ofSeconds(30);

  private EngineFixture fixture;
  private EngineSandbox sandbox;

  @BeforeEach
  void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterEach
  void destroy() throws Exception {
    fixture.close();
  }

  private Recording bash(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.bash(source));
  }

  private Recording python(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.command(LONG, "python3", "-uc", source));
  }

  @ParameterizedTest
  @ValueSource(strings = {"KILL", "TERM", "INT", "STOP", "TSTP", "SEGV", "USR1"})
  void signalsToItChangeNothing(String signal) throws Exception {
    for (int i = 0; i < 3; i++) {
      Recording recording = bash("kill -" + signal + " $PPID; echo on; exit 3");
      assertThat(recording.stdout()).isEqualTo("on\n");
      assertThat(recording.await().exitCode()).hasValue(3);
      recording = bash("kill -" + signal + " $PPID; sleep 0.1; echo on; kill -ABRT $$");
      assertThat(recording.stdout()).isEqualTo("on\n");
      assertThat(recording.await().signal()).hasValue(6);
      recording = bash("echo after; exit 4");
      assertThat(recording.stdout()).isEqualTo("after\n");
      assertThat(recording.await().exitCode()).hasValue(4);
    }
  }

  /** As long as a daemon does that, commands may fail, but none hangs and none is told wrongly. */
  @ParameterizedTest
  @ValueSource(strings = {"KILL", "STOP"})
  void daemonThatSignalsEverythingHoldsUpNothing(String signal) throws Exception {
    bash("(setsid bash -c 'while :; do kill -" + signal + " -1; done' >/dev/null 2>&1 &)");
    for (int i = 0; i < 5; i++) {
      long before = System.nanoTime();
      ExecutionEnd end =
          EngineFixture.run(sandbox, EngineFixture.command(Duration.ofSeconds(1), "true")).await();
      assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(10));
      assertThat(end.reason())
          .isIn(Reason.COMPLETED, Reason.SIGNALED, Reason.DEADLINE, Reason.NOT_STARTED);
      assertThat(end.exitCode().orElse(0)).isZero();
    }
  }

  @Test
  void nobodyCanLookIntoIt() throws Exception {
    assertThat(
            python(
                    """
                    import ctypes, os
                    libc = ctypes.CDLL(None, use_errno=True)
                    launcher = os.getppid()
                    print(os.path.exists('/proc/%d' % launcher))
                    for name in ('mem', 'fd/0', 'environ', 'maps', 'oom_score_adj', 'fdinfo/0'):
                        for flags in (os.O_RDONLY, os.O_WRONLY):
                            try:
                                fd = os.open('/proc/%d/%s' % (launcher, name), flags)
                                if flags or os.read(fd, 10):
                                    print(name, 'opened')
                            except OSError:
                                pass
                    pidfd = os.pidfd_open(launcher)
                    # PTRACE_ATTACH, PTRACE_SEIZE, pidfd_getfd, process_vm_readv.
                    print(libc.ptrace(16, launcher, 0, 0), libc.ptrace(0x4206, launcher, 0, 0))
                    print([libc.syscall(438, pidfd, fd, 0) for fd in range(8)])
                    buffer = ctypes.create_string_buffer(8)
                    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
                    print(libc.process_vm_readv(launcher, vector, 1, vector, 1, 0))
                    """)
                .stdout())
        .isEqualTo("False\n-1 -1\n" + "[" + "-1, ".repeat(7) + "-1]\n-1\n");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "prlimit --nofile=3 --pid",
        "prlimit --nproc=1 --pid",
        "prlimit --stack=1 --pid",
        "prlimit --fsize=0 --pid",
        "prlimit --cpu=1 --pid",
        "renice -n 5 -p",
        "taskset -p 1"
      })
  void whatIsSetOnItIsNotTheNextCommands(String command) throws Exception {
    String state = "ulimit -a; nice; taskset -p $$ | cut -d: -f2";
    String usual = bash(state).stdout();
    for (int i = 0; i < 4; i++) {
      assertThat(bash(command + " $PPID").await().exitCode()).hasValue(0);
      assertThat(bash(state).stdout()).isEqualTo(usual);
    }
  }

  /** The launcher may die between a program's end and the word of it. */
  @Test
  void endAndProcessorTimeAreToldWhoeverKillsIt() throws Exception {
    String burnAndKill =
        """
        import os, signal, time
        launcher = os.getppid()
        while time.process_time() < 0.2:
            pass
        if os.fork() == 0:
            try:
                while True:
                    os.kill(launcher, signal.SIGKILL)
            except ProcessLookupError:
                os._exit(0)
        os._exit(5)
        """;
    for (int i = 0; i < 10; i++) {
      ExecutionEnd end = python(burnAndKill).await();
      assertThat(end.exitCode()).hasValue(5);
      assertThat(end.cpuMicros().getAsLong()).isBetween(200_000L, 400_000L);
      assertThat(bash("exit 2").await().cpuMicros().getAsLong()).isLessThan(50_000);
    }
  }

  @Test
  void siblingsOfAProgramAreItsChildren() throws Exception {
    String sibling =
        """
        import ctypes, os, time
        if ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0:
            %s
            os._exit(0)
        %s
        os._exit(6)
        """;
    for (int i = 0; i < 3; i++) {
      ExecutionEnd end =
          python(
                  sibling.formatted(
                      "\n    while time.process_time() < 0.3: pass", "time.sleep(1.5)"))
              .await();
      assertThat(end.exitCode()).hasValue(6);
      assertThat(end.cpuMicros().getAsLong()).isGreaterThan(300_000);
    }

    assertThat(
            python(sibling.formatted("os.execlp('sleep', 'sleep', '313')", "time.sleep(0.3)"))
                .await()
                .exitCode())
        .hasValue(6);
    assertThat(bash("pgrep -cx sleep").stdout()).isEqualTo("1\n");
    ExecutionEnd next =
        EngineFixture.run(
                sandbox, EngineFixture.command(Duration.ofMillis(300), "tail", "-f", "/dev/null"))
            .await();
    assertThat(next.reason()).isEqualTo(Reason.DEADLINE);
    assertThat(bash("pgrep -cx sleep").stdout()).isEqualTo("1\n");
  }

  @Test
  void stopOfATracedProgramIsNotItsEnd() throws Exception {
    String traced =
        "import ctypes, os; ctypes.CDLL(None).ptrace(0, 0, 0, 0); os.kill(os.getpid(), 19)";
    ExecutionEnd end =
        EngineFixture.run(
                sandbox, EngineFixture.command(Duration.ofSeconds(1), "python3", "-c", traced))
            .await();
    assertThat(end.reason()).isEqualTo(Reason.DEADLINE);
    assertThat(end.exitCode()).isEmpty();
    assertThat(bash("exit 8").await().exitCode()).hasValue(8);
  }
}
