package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.e2b.E2bSettings.Calls;
import dev.sandkeeper.server.engine.e2b.E2bSettings.LinkTimes;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Supplier;

/** An engine whose E2B is the test peer. */
final class E2bFixture {
  /** What sandboxes of the peer have. */
  private static final int CPU_CORES = 2;

  private static final int MEMORY_MIB = 512;

  private static final int MAX_STARTING = 8;

  private E2bFixture() {}

  /** Opens an engine over a state folder, with less patience than over the Internet. */
  static E2bEngine open(Peer peer, Path stateFolder) {
    return new E2bEngine(settings(peer, stateFolder, Duration.ofHours(1)));
  }

  static E2bEngineSettings settings(Peer peer, Path stateFolder, Duration sessionLimit) {
    return settings(peer, stateFolder, sessionLimit, "e2b.invalid");
  }

  static E2bEngineSettings settings(
      Peer peer, Path stateFolder, Duration sessionLimit, String domain) {
    Calls calls =
        new Calls(
            Duration.ofSeconds(5),
            Duration.ofSeconds(20),
            Duration.ofSeconds(40),
            3,
            Duration.ofMillis(20),
            Duration.ofMillis(200));
    LinkTimes link =
        new LinkTimes(
            Duration.ofMillis(500),
            Duration.ofSeconds(3),
            Duration.ofMillis(20),
            Duration.ofMillis(500),
            Duration.ofSeconds(2));
    return new E2bEngineSettings(
        stateFolder,
        new E2bSettings(peer.uri(), domain, Optional.of(peer.uri()), calls, link),
        peer::key,
        "base",
        sessionLimit,
        Duration.ofMillis(500),
        Duration.ofSeconds(20),
        MAX_STARTING);
  }

  /** Returns the usual settings with another key and other bounds of what starts. */
  static E2bEngineSettings settings(
      Peer peer, Path stateFolder, Supplier<String> key, Duration startTimeout, int maxStarting) {
    E2bEngineSettings usual = settings(peer, stateFolder, Duration.ofHours(1));
    return new E2bEngineSettings(
        stateFolder,
        usual.api(),
        key,
        usual.template(),
        usual.sessionLimit(),
        usual.rotationMargin(),
        startTimeout,
        maxStarting);
  }

  /** Ends everything; nothing may be left at the peer, and all that was sent has to be right. */
  static void end(Peer peer, E2bEngine engine) {
    try {
      peer.clearFaults();
      engine.list().forEach(found -> engine.destroy(found.sandboxId()));
      assertThat(peer.sandboxes()).isEmpty();
      assertThat(peer.violations()).isEmpty();
    } finally {
      engine.close();
      peer.close();
    }
  }

  /** Returns the usual sandbox, as large as those of the peer. */
  static SandboxSpec spec(Duration paid) {
    SandboxSpec usual = Requests.spec(paid);
    return new SandboxSpec(
        usual.id(),
        usual.generation(),
        usual.runtime(),
        usual.engineTemplate(),
        CPU_CORES,
        MEMORY_MIB,
        usual.diskMib(),
        usual.maxProcesses(),
        usual.environment(),
        usual.imports(),
        usual.network(),
        usual.paid());
  }
}
