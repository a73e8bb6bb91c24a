package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.Difference;
import dev.sandkeeper.server.engine.Recording;
import org.junit.jupiter.api.Test;

class LocalEngineRunscTest extends LocalEngineContract {
  LocalEngineRunscTest() throws Exception {
    super(
        "runsc",
        Difference.DEADLINE_SPARES_DAEMONS,
        Difference.FEWER_AT_ONCE,
        Difference.LS_FAILS,
        Difference.METERS_A_KERNEL_TOO,
        Difference.NO_ROUTE_IS_NO_HOST,
        Difference.NO_TERMINAL,
        Difference.NO_PEAK_MEMORY,
        Difference.OUT_OF_MEMORY_ENDS_THE_SANDBOX);
  }

  @Test
  void programsMeetAnotherKernelThanTheHosts() throws Exception {
    assertThat(bash("uname -r").stdout().strip())
        .isNotEmpty()
        .isNotEqualTo(System.getProperty("os.version"));
  }

  /** Its environment, and the names of what it has open, can be seen here. */
  @Test
  void theAgentIsOutOfReach() throws Exception {
    Recording tried =
        python(
            """
            import os, ctypes, socket
            for name, action in (
                ('mem', lambda: open('/proc/1/mem', 'rb+')),
                ('kill', lambda: os.kill(1, 9)),
                ('socket',
                 lambda: socket.socket(socket.AF_UNIX).connect('/run/sandkeeper/engine.sock')),
                ('folder', lambda: os.listdir('/run/sandkeeper')),
                ('agent', lambda: open('/opt/sandkeeper/agent.pyc', 'ab')),
                ('setuid', lambda: os.setuid(998)),
            ):
                try:
                    action()
                    print(name, 'worked')
                except OSError:
                    pass
            print('ptrace', ctypes.CDLL(None).ptrace(16, 1, 0, 0))
            """);

    assertThat(tried.errors()).isEmpty();
    assertThat(tried.stdout()).isEqualTo("ptrace -1\n");
  }
}
