package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

// Goal: the server that is shipped has put its filter of system calls on itself and its database.
@Tag("alone")
final class HardeningTest {

  @Test
  void serverAndDatabaseRunBehindTheFilter() throws Exception {
    try (ServerProcess server = new ServerProcess().start()) {
      for (long process : new long[] {server.process().pid(), server.databaseProcess()}) {
        assertThat(Files.readString(Path.of("/proc", Long.toString(process), "status")))
            .containsPattern("NoNewPrivs:\\s1\n")
            .containsPattern("Seccomp:\\s2\n");
      }
    }
  }
}
