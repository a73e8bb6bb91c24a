package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

// Goal: the agent gets what it needs, and a template that does not have it is told from others.
@Timeout(120)
final class E2bAgentTest {
  @TempDir private Path folder;

  private String run(String script) throws Exception {
    Process process = new ProcessBuilder("/bin/sh", "-c", script).start();
    assertThat(process.waitFor(20, TimeUnit.SECONDS)).isTrue();
    assertThat(process.exitValue()).isEqualTo(1);
    assertThat(process.getInputStream().readAllBytes()).isEmpty();
    return new String(process.getErrorStream().readAllBytes(), UTF_8);
  }

  private void program(String name) throws IOException {
    Path program = folder.resolve(name);
    Files.writeString(program, "#!/bin/sh\n");
    assertThat(program.toFile().setExecutable(true)).isTrue();
  }

  @Test
  void whatATemplateLacksIsNamed() throws Exception {
    String script = E2bAgent.SCRIPT.replace(E2bAgent.PATH, "PATH=" + folder + "\n");

    assertThat(run(script)).isEqualTo("the template lacks: python3 setpriv\n");
    program("python3");
    assertThat(run(script)).isEqualTo("the template lacks: setpriv\n");
  }

  @Test
  void whyTheAgentCannotBeStartedIsTold() throws Exception {
    Path elsewhere = Files.createDirectory(folder.resolve("sockets"));
    try (LinkFixture fixture = new LinkFixture(elsewhere)) {
      // As where Python is too old, only sooner.
      ProcessStream made =
          fixture.envd.start(
              new Envd.Command(
                  "/bin/sh",
                  List.of("-c", "mkdir -p /opt/sandkeeper/agent.py && echo made"),
                  Map.of()),
              "root",
              "t",
              false);
      while (made.next().isPresent()) {
        assertThat(fixture.gone).isEmpty();
      }

      assertThatThrownBy(fixture::startAgent)
          .isInstanceOf(E2bException.class)
          .hasMessageContaining("the agent cannot be started: ")
          .hasMessageContaining("agent.py");
    }
  }

  @Test
  void theAgentHasItsUserAndRightsAndNoMore() throws Exception {
    Path elsewhere = Files.createDirectory(folder.resolve("sockets"));
    try (LinkFixture fixture = new LinkFixture(elsewhere)) {
      fixture.startAgent();
      long pid = fixture.envd.list().getFirst().pid();
      StringBuilder status = new StringBuilder();
      try (ProcessStream stream =
          fixture.envd.start(
              new Envd.Command(
                  "/bin/sh",
                  List.of(
                      "-c",
                      "cat /proc/$0/status; tr '\\0' ' ' </proc/$0/cmdline; stat -c '%n %a %U'"
                          + " /run/sandkeeper /opt/sandkeeper/agent.py",
                      Long.toString(pid)),
                  Map.of()),
              "root",
              "t",
              false)) {
        for (var event = stream.next(); event.isPresent(); event = stream.next()) {
          if (event.get() instanceof ProcessEvent.Stdout(var data)) {
            status.append(UTF_8.decode(data));
          }
        }
      }

      assertThat(status.toString().replace('\t', ' '))
          .contains("Uid: 998 998 998 998", "Gid: 998 998 998 998", "Groups:  \n")
          .contains("NoNewPrivs: 1")
          // CAP_KILL, CAP_SETGID and CAP_SETUID, until it has them for itself only.
          .contains("CapPrm: 00000000000000e0", "CapBnd: 00000000000000e0")
          .contains("-I -S /opt/sandkeeper/agent.py 3600000 100 512  3128 linux")
          .contains("/run/sandkeeper 711 root", "/opt/sandkeeper/agent.py 644 root");
    }
  }
}
