package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.engine.SandboxEnd;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.assertj.core.api.Assertions;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

// Goal: what E2B runs, and until when, is what the engine has said of the sandbox, also when E2B's
// answers are lost, late or wrong. Method: the engine at a peer with faults, whose own account of
// its sandboxes is looked at.
@Timeout(120)
class E2bLifeTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final Duration SHORT_SESSION = Duration.ofSeconds(3);
  private static final String START = "/process.Process/Start";
  private static final String CONNECT = "/connect$";
  private static final String PAUSE = "/pause$";

  /** As often as a call is made in all. */
  private static final int TRIES = 3;

  @TempDir private Path stateFolder;
  private Peer peer;
  private E2bEngine engine;

  @BeforeEach
  void begin() {
    peer = Peer.start();
    engine = E2bFixture.open(peer, stateFolder);
  }

  @AfterEach
  void end() {
    E2bFixture.end(peer, engine);
  }

  private EngineSandbox create() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertRuns(sandbox);
    return sandbox;
  }

  private static void assertRuns(EngineSandbox sandbox) throws Exception {
    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  private void reopen(Duration sessionLimit) {
    engine.close();
    engine = new E2bEngine(E2bFixture.settings(peer, stateFolder, sessionLimit));
  }

  private JsonNode there() {
    return peer.sandboxes().getFirst();
  }

  private long asked(String what) {
    return peer.requests().stream().filter(seen -> seen.path().endsWith(what)).count();
  }

  private static void assertFails(ThrowingCallable call) {
    assertThatExceptionOfType(EngineException.class).isThrownBy(call);
  }

  @Test
  void whatE2bResumedWithoutAnAnswerIsPausedByTheNextPause() throws Exception {
    EngineSandbox sandbox = create();
    sandbox.pause();
    peer.fault("drop_answer", CONNECT, "times", TRIES);
    assertFails(sandbox::resume);
    assertThat(sandbox.paused()).isTrue();
    assertThat(there().path("state").asText()).isEqualTo("running");

    sandbox.pause();

    assertThat(there().path("state").asText()).isEqualTo("paused");
    sandbox.resume();
    assertRuns(sandbox);
  }

  @Test
  void whatE2bMayHaveResumedIsNotSaidToBePausedBeforeE2bSaysSo() throws Exception {
    EngineSandbox sandbox = create();
    sandbox.pause();
    peer.fault("drop_answer", CONNECT, "times", TRIES);
    peer.fault("status", PAUSE, "status", 503, "times", TRIES);
    assertFails(sandbox::resume);

    assertFails(sandbox::pause);
    sandbox.pause();

    assertThat(there().path("state").asText()).isEqualTo("paused");
  }

  @Test
  void whatTheFirstOfSeveralTriesMayHaveResumedIsNotSaidToBePaused() throws Exception {
    EngineSandbox sandbox = create();
    sandbox.pause();
    peer.fault("drop_answer", CONNECT);
    peer.fault("status", CONNECT, "status", 503, "times", TRIES - 1);
    peer.fault("status", PAUSE, "status", 503, "times", TRIES);
    assertFails(sandbox::resume);
    assertThat(there().path("state").asText()).isEqualTo("running");

    assertFails(sandbox::pause);
    sandbox.pause();

    assertThat(there().path("state").asText()).isEqualTo("paused");
  }

  @Test
  void aPausedSandboxStaysSoWhileE2bTakesNoCalls() throws Exception {
    EngineSandbox sandbox = create();
    sandbox.pause();
    peer.fault("status", CONNECT, "status", 503, "times", TRIES);
    peer.fault("status", PAUSE, "status", 503, "times", TRIES);
    assertFails(sandbox::resume);

    sandbox.pause();

    assertThat(sandbox.paused()).isTrue();
    sandbox.resume();
    assertRuns(sandbox);
  }

  @Test
  void aPausedSandboxThatIsGoneIsToldOfWhenItIsToGoOn() throws Exception {
    EngineSandbox sandbox = create();
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    sandbox.pause();
    peer.kill(there().path("id").asText());

    assertFails(sandbox::resume);

    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.AGENT_LOST);
    assertThat(sandbox.paused()).isFalse();
  }

  @Test
  void whatOneHalfOfE2bDoesNotKnowIsLookedForMoreAndMoreSeldom() throws Exception {
    EngineSandbox sandbox = create();
    Map<String, String> unknown = Map.of("message", "The sandbox was not found");
    peer.fault("status", START, "status", 502, "body", unknown, "times", 100_000);
    peer.fault("cut_now", START);
    await().until(() -> asked("/connect") > 0);
    long before = asked("/connect");

    await().pollDelay(Duration.ofSeconds(3)).until(() -> true);

    // Twenty milliseconds at first, half a second at most.
    assertThat(asked("/connect") - before).isBetween(3L, 15L);
    peer.clearFaults();
    assertRuns(sandbox);
  }

  @Test
  void aPauseEndsARotationThatFailed() throws Exception {
    reopen(SHORT_SESSION);
    EngineSandbox sandbox = create();
    peer.fault("status", PAUSE, "status", 500, "times", TRIES);
    peer.fault("status", CONNECT, "status", 500, "times", TRIES);
    await().atMost(20, TimeUnit.SECONDS).until(() -> asked("/connect") == TRIES);

    sandbox.pause();

    reopen(Duration.ofHours(1));
    EngineSandbox again = engine.adopt(sandbox.id(), sandbox.generation()).orElseThrow();
    assertThat(again.paused()).isTrue();
    assertThat(there().path("state").asText()).isEqualTo("paused");
  }

  @Test
  void aSessionThatBeganAnewThoughThePauseWasNotAnsweredLastsAsLongAsAny() throws Exception {
    reopen(SHORT_SESSION);
    EngineSandbox sandbox = create();
    peer.fault("drop_answer", PAUSE);
    peer.fault("status", PAUSE, "status", 500, "times", TRIES - 1);
    await().atMost(20, TimeUnit.SECONDS).until(() -> asked("/connect") == 1);

    // Of the next rotation.
    await().atMost(10, TimeUnit.SECONDS).until(() -> asked("/pause") > TRIES);

    await().until(() -> asked("/connect") == 2);
    assertRuns(sandbox);
  }

  @Test
  void whatARotationCouldNotResumeIsPaidForAllTheSame() throws Exception {
    reopen(SHORT_SESSION);
    EngineSandbox sandbox = create();
    Map<String, String> full = Map.of("message", "the maximum number of concurrent sandboxes");
    peer.fault("status", CONNECT, "status", 429, "body", full, "times", 100_000);
    await().atMost(20, TimeUnit.SECONDS).until(() -> asked("/connect") >= 2);

    Instant renewed = Instant.now();
    sandbox.renew(LONG.multipliedBy(2));

    assertThat(there().path("state").asText()).isEqualTo("paused");
    peer.clearFaults();
    await().until(() -> there().path("state").asText().equals("running"));
    assertThat(Instant.parse(there().path("endAt").asText()))
        .isCloseTo(renewed.plus(LONG.multipliedBy(2)), Assertions.within(2, ChronoUnit.SECONDS));
    assertRuns(sandbox);
  }

  @Test
  void aRenewalReachesE2bAlsoWhenTheDiskIsFull() throws Exception {
    EngineSandbox sandbox = create();
    // In the place of what is written first.
    Path blocked =
        Files.createDirectory(stateFolder.resolve(sandbox.id().value()).resolve("sandbox.part"));

    sandbox.renew(LONG.multipliedBy(2));

    assertEndsIn(LONG.multipliedBy(2));
    Files.delete(blocked);
  }

  @Test
  void e2bEndsASandboxAtTheEndOfItsPaidTime() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertEndsIn(LONG);

    sandbox.renew(Duration.ofMinutes(10));
    assertEndsIn(Duration.ofMinutes(10));

    sandbox.renew(Duration.ofMinutes(1));
    assertEndsIn(Duration.ofMinutes(1));

    sandbox.pause();
    sandbox.renew(Duration.ofMinutes(7));
    sandbox.resume();
    assertEndsIn(Duration.ofMinutes(7));
  }

  private void assertEndsIn(Duration paid) {
    assertThat(Instant.parse(there().path("endAt").asText()))
        .isCloseTo(Instant.now().plus(paid), Assertions.within(2, ChronoUnit.SECONDS));
  }
}
