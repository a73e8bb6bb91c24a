package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Requests;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** How agents get into sandboxes, and what becomes of a start that fails on its way. */
@Timeout(120)
class E2bStartTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final Duration START_TIMEOUT = Duration.ofSeconds(3);
  private static final String START = "/process.Process/Start";

  @TempDir private Path stateFolder;
  private Peer peer;
  private E2bEngine engine;

  /** How often the key can be had still. */
  private final AtomicInteger keys = new AtomicInteger(1000);

  @BeforeEach
  void begin() {
    peer = Peer.start();
    engine = open(Duration.ofSeconds(20), 1);
  }

  @AfterEach
  void end() {
    keys.set(1000);
    E2bFixture.end(peer, engine);
  }

  private E2bEngine open(Duration startTimeout, int maxStarting) {
    return new E2bEngine(
        E2bFixture.settings(peer, stateFolder, this::key, startTimeout, maxStarting));
  }

  private String key() {
    if (keys.getAndDecrement() > 0) {
      return peer.key();
    }
    throw new EngineException(EngineException.Kind.UNAVAILABLE, "the key cannot be read");
  }

  private long uploads() {
    return peer.requests().stream().filter(seen -> seen.path().equals("/files")).count();
  }

  @Test
  void anAgentWhoseLogStandsStillIsGivenUpInTime() {
    engine.close();
    engine = open(START_TIMEOUT, 1);
    // The first starts the agent; the others are its relay's, and its log's.
    peer.fault("stall", START, "ms", 100_000, "after", 1, "times", 1000);
    long start = System.nanoTime();

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.create(E2bFixture.spec(LONG)))
        .withMessageContaining("did not answer within")
        .withMessageContaining("what cannot be read");

    assertThat(Duration.ofNanos(System.nanoTime() - start))
        .isLessThan(START_TIMEOUT.multipliedBy(5));
    assertThat(engine.list()).isEmpty();
  }

  @Test
  void noMoreAgentsAreStartedAtOnceThanMay() throws Exception {
    EngineSandbox first = engine.create(E2bFixture.spec(LONG));
    assertThat(first.paused()).isFalse();
    long before = uploads();
    peer.fault("delay", START, "ms", 2000, "times", 1);

    List<EngineSandbox> more = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      more.add(engine.create(E2bFixture.spec(LONG)));
    }

    await().until(() -> uploads() > before);
    await().during(Duration.ofSeconds(1)).until(() -> uploads() == before + 1);
    for (EngineSandbox sandbox : more) {
      assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
    }
  }

  @Test
  void aSandboxThatIsEndedBeforeItsAgentStartsSaysNothingOfItsTemplate() {
    assertThat(engine.create(E2bFixture.spec(LONG)).paused()).isFalse();
    peer.fault("delay", START, "ms", 3000, "times", 1);
    assertThat(engine.create(E2bFixture.spec(LONG)).paused()).isFalse();
    EngineSandbox waiting = engine.create(E2bFixture.spec(LONG));
    var _ = waiting.destroy(Duration.ZERO);
    await().until(() -> uploads() == 2);
    await().pollDelay(Duration.ofSeconds(4)).until(() -> true);
    peer.fault("delay", START, "ms", 3000, "times", 1);
    long start = System.nanoTime();

    assertThat(engine.create(E2bFixture.spec(LONG)).paused()).isFalse();

    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(2));
  }

  @Test
  void whatFailsBeforeTheKeyIsGoneIsWhatIsToldOf() {
    // For the creation, and for what the sandbox has; no more for its end.
    keys.set(2);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.create(Requests.spec(LONG)))
        .withMessageContaining("has 2 cores and 512 MiB");
  }

  @Test
  void whatCannotBeEndedForWantOfTheKeyIsToldAsThat() {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    engine.close();
    engine = open(START_TIMEOUT, 1);
    keys.set(0);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.destroy(sandbox.id()))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.FAILED));
  }
}
