package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.Difference;
import dev.sandkeeper.server.engine.EngineContract;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/** What every engine does, at an E2B that is the test peer. */
class E2bEngineTest extends EngineContract {
  private final Peer peer = Peer.start();
  private final Path stateFolder = Files.createTempDirectory("e2b");

  E2bEngineTest() throws Exception {
    super(
        Optional.empty(),
        Set.of(
            Difference.DISK_OF_ITS_OWN_SIZE,
            Difference.NO_METERS,
            Difference.OUT_OF_MEMORY_IS_A_SIGNAL,
            Difference.PAUSE_BREAKS_TRANSFERS,
            // Of the peer alone: at E2B there is one.
            Difference.SEVERAL_FILE_SYSTEMS));
  }

  @Override
  public SandboxSpec spec(Duration paid) {
    return E2bFixture.spec(paid);
  }

  @Override
  protected SandboxEngine open() {
    return E2bFixture.open(peer, stateFolder);
  }

  @Override
  protected void removePlace() throws Exception {
    try (peer) {
      assertThat(peer.violations()).isEmpty();
      assertThat(peer.sandboxes()).isEmpty();
    }
    try (Stream<Path> all = Files.walk(stateFolder)) {
      for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
