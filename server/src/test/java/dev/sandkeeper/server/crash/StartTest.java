package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What keeps the server from starting is told in one line, and leaves nothing running. */
@Tag("alone")
class StartTest {
  private ServerProcess server;

  @BeforeEach
  void prepare() throws Exception {
    server = new ServerProcess();
  }

  @AfterEach
  void clean() throws Exception {
    server.close();
  }

  @Test
  void takenPortIsTold() throws Exception {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.ofLiteral("127.0.0.1"))) {
      String port = Integer.toString(taken.getLocalPort());

      server.set("SERVER_PORT", port);

      assertThat(lineOfFailedStart(1)).contains(port, "taken", "SANDKEEPER_SERVER_PORT");
    }
  }

  @Test
  void secondServerOnTheSameFolderIsRefusedAndTheFirstServesOn() throws Exception {
    server.start();

    Process first = server.process();
    server.launch();
    List<String> lines = failure(1);
    server.watch(first);

    assertThat(lines)
        .singleElement()
        .asString()
        .contains("in use by another server", server.dataFolder().toString());
    assertThat(server.databaseRuns()).isTrue();
    assertThat(server.client().create(Duration.ofMinutes(1)).getSandboxId()).isNotEmpty();
  }

  @Test
  void missingRuntimeIsTold() throws Exception {
    server.set("ENGINE_LOCAL_RUNTIME", "no-such-runtime");

    assertThat(lineOfFailedStart(1)).contains("no-such-runtime", "install");
  }

  @Test
  void machineThatIsNotSetUpIsTold() throws Exception {
    server.set("ENGINE_LOCAL_CGROUP_PARENT", "nobody-made-this");

    assertThat(lineOfFailedStart(1)).contains("setup-host");
  }

  @Test
  void certificateThatCannotBeUsedIsTold() throws Exception {
    Path missing = server.folder().resolve("tls.crt");
    server.set("SERVER_TLS_CERTIFICATE_FILE", missing.toString());
    server.set("SERVER_TLS_KEY_FILE", server.folder().resolve("tls.key").toString());

    assertThat(lineOfFailedStart(1))
        .contains("server.tls.certificate-file", missing.toString(), "no such file");
  }

  @Test
  void allThatIsWrongInTheConfigurationIsTold() throws Exception {
    Path file = server.folder().resolve("own.conf");
    Files.writeString(file, "server.prot = 7400\nledger.lease = soon\n");

    server.launch("--config", file.toString());

    assertThat(failure(2))
        .hasSize(2)
        .anyMatch(line -> line.startsWith("server.prot: "))
        .anyMatch(line -> line.startsWith("ledger.lease: "));
  }

  @Test
  void unknownArgumentIsTold() throws Exception {
    server.launch("--verbose");

    assertThat(failure(2)).singleElement().asString().contains("--verbose", "--config FILE");
  }

  private String lineOfFailedStart(int exitCode) throws Exception {
    server.launch();
    List<String> lines = failure(exitCode);
    assertThat(server.databaseRuns()).isFalse();
    assertThat(lines).hasSize(1);
    return lines.getFirst();
  }

  /** Waits for the end of the server and returns what it said beside its log. */
  private List<String> failure(int exitCode) throws InterruptedException {
    assertThat(server.process().waitFor(60, TimeUnit.SECONDS)).isTrue();
    assertThat(server.process().exitValue()).as(server.log()).isEqualTo(exitCode);
    return server.log().lines().filter(line -> !line.startsWith("{") && !line.isBlank()).toList();
  }
}
