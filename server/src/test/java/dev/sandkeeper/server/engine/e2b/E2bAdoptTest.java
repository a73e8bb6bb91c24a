package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.engine.RunningExecution;
import dev.sandkeeper.server.engine.SandboxEnd;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

// Goal: a server that starts takes over what E2B runs, however little of E2B answers then. Method:
// an engine is closed and another opened over its folder, while the peer fails.
@Timeout(120)
class E2bAdoptTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final String START = "/process.Process/Start";
  private static final String CONNECT = "/connect$";

  /** Longer than an execution is waited for that the sandbox knows nothing of. */
  private static final Duration OUTAGE = Duration.ofSeconds(7);

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

  private void reopen() {
    engine.close();
    engine = E2bFixture.open(peer, stateFolder);
  }

  private EngineSandbox adopt(EngineSandbox before) {
    return engine.adopt(before.id(), before.generation()).orElseThrow();
  }

  private static void assertRuns(EngineSandbox sandbox) throws Exception {
    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  @Test
  void aSandboxWhoseDaemonIsNotReachedIsTakenUpWithWhatRunsInIt() throws Exception {
    EngineSandbox first = engine.create(E2bFixture.spec(LONG));
    ExecutionSpec counting =
        Requests.of(Requests.bash("for i in {1..20}; do echo $i; sleep 0.1; done"), LONG, "");
    Recording before = new Recording();
    EngineExecution ignored = first.start(counting, before);
    before.awaitStarted();
    peer.fault("status", START, "status", 503, "times", 100_000);
    reopen();
    long start = System.nanoTime();

    EngineSandbox again = adopt(first);

    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(5));
    Recording after = new Recording(before.stdoutBytes().length);
    again.takeUp(List.of(new RunningExecution(counting.id(), before.told(), after)));
    await().during(OUTAGE).atMost(OUTAGE.multipliedBy(2)).until(() -> !after.isFinished());
    peer.clearFaults();
    assertThat(after.await().exitCode()).hasValue(0);
    assertThat((before.stdout() + after.stdout()).lines()).hasSize(20).endsWith("20");
    assertRuns(again);
  }

  @Test
  void aSandboxWhoseAgentIsDeadIsTakenUpAndEnded() throws Exception {
    EngineSandbox first = engine.create(E2bFixture.spec(LONG));
    assertRuns(first);
    engine.close();
    String id = peer.sandboxes().getFirst().path("id").asText();
    try (PeerCaller caller = new PeerCaller(peer)) {
      String token =
          PeerCaller.json(caller.control("GET", "/sandboxes/" + id, "").body())
              .path("envdAccessToken")
              .asText();
      PeerCaller.Made made = new PeerCaller.Made(id, token);
      String root = "Basic cm9vdDo=";
      try (PeerCaller.Events events =
          caller.run(made, "pkill -KILL -f /agent.py", "Authorization", root)) {
        assertThat(events.rest()).isNotEmpty();
      }
    }
    engine = E2bFixture.open(peer, stateFolder);

    EngineSandbox again = adopt(first);

    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    again.onEnd(end::complete);
    assertThat(end.get(60, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.AGENT_LOST);
    assertThat(peer.sandboxes()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(ints = {409, 429, 503})
  void whatCannotBeResumedNowIsNotSaidToBeGoneAndLeavesNothingBehind(int status) throws Exception {
    EngineSandbox first = engine.create(E2bFixture.spec(LONG));
    assertRuns(first);
    engine.close();
    Path folder = stateFolder.resolve(first.id().value());
    new SavedSandbox(folder.resolve("sandbox"), InstantSource.system()).rotating(true);
    peer.pause(peer.sandboxes().getFirst().path("id").asText());
    engine = E2bFixture.open(peer, stateFolder);
    Map<String, String> full = Map.of("message", "the maximum number of concurrent sandboxes");
    peer.fault("status", CONNECT, "status", status, "body", full, "times", 3);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> adopt(first))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));

    // Closed once the thread that listens has noticed.
    await()
        .untilAsserted(() ->
            assertThatThrownBy(() -> SocketChannel.open(engineSocket(folder)).close())
                .isInstanceOf(IOException.class));
    peer.clearFaults();
    assertRuns(adopt(first));
  }

  private static UnixDomainSocketAddress engineSocket(Path folder) {
    return UnixDomainSocketAddress.of(folder.resolve("engine.sock"));
  }

  @Test
  void whatIsNotPaidForAnyMoreIsNotTakenUp() throws Exception {
    EngineSandbox first = engine.create(E2bFixture.spec(LONG));
    assertRuns(first);
    engine.close();
    Path folder = stateFolder.resolve(first.id().value());
    SavedSandbox saved = new SavedSandbox(folder.resolve("sandbox"), InstantSource.system());
    saved.paid(Duration.ZERO);
    saved.rotating(true);
    engine = E2bFixture.open(peer, stateFolder);

    assertThat(engine.adopt(first.id(), first.generation())).isEmpty();
  }

  @Test
  void theSandboxesAreLetGoOfAllAtOnce() throws Exception {
    for (int i = 0; i < 3; i++) {
      assertRuns(engine.create(E2bFixture.spec(LONG)));
    }
    peer.fault("delay", "/process.Process/SendSignal", "ms", 5000, "times", 3);
    long start = System.nanoTime();

    engine.close();

    // Each waits two seconds for the end of its relay.
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(4));
    engine = E2bFixture.open(peer, stateFolder);
  }
}
