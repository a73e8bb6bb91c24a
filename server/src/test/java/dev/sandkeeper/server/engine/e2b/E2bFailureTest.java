package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.RemoteEnd;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.engine.SandboxEnd;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.Stdio;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the engine makes of an E2B that fails. */
@Timeout(120)
class E2bFailureTest {
  private static final Duration LONG = Duration.ofMinutes(5);
  private static final String CREATE = "^/sandboxes$";
  private static final String START = "/process.Process/Start";

  @TempDir private Path stateFolder;
  private Peer peer;
  private E2bEngine engine;

  @BeforeEach
  void begin() {
    peer = Peer.start("--max-sandboxes", "2");
    engine = E2bFixture.open(peer, stateFolder);
  }

  @AfterEach
  void end() {
    E2bFixture.end(peer, engine);
  }

  @Test
  void aSandboxWhoseCreationWasNotAnsweredIsFoundAndUsed() throws Exception {
    peer.fault("drop_answer", CREATE, "method", "POST");

    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));

    assertThat(peer.sandboxes()).hasSize(1);
    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  @Test
  void aCreationThatDidNotArriveLeavesNothing() {
    peer.fault("drop_request", CREATE, "method", "POST");

    assertUnavailable(E2bFixture.spec(LONG));

    assertThat(engine.list()).isEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    "401, UNAVAILABLE",
    "403, UNAVAILABLE",
    "404, FAILED",
    "500, UNAVAILABLE",
    "502, UNAVAILABLE",
    "503, UNAVAILABLE"
  })
  void aRefusedCreationSaysWhetherAnotherEngineMayHelp(int status, EngineException.Kind kind) {
    peer.fault("status", CREATE, "method", "POST", "status", status, "times", 5);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.create(E2bFixture.spec(LONG)))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(kind))
        .withMessageContaining("" + status)
        .satisfies(e -> assertThat(e.toString()).doesNotContain(peer.key()));
    assertThat(engine.list()).isEmpty();
  }

  @Test
  void tooManyRequestsAreMadeAgainWhenE2bSays() {
    Map<String, String> later = Map.of("Retry-After", "1");
    peer.fault("status", CREATE, "method", "POST", "status", 429, "headers", later);
    long before = System.nanoTime();

    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));

    assertThat(System.nanoTime() - before).isGreaterThan(900_000_000L);
    assertThat(sandbox.paused()).isFalse();
  }

  @Test
  void noMoreThanTheAccountMayHaveAreAskedForOnce() {
    for (int i = 0; i < 2; i++) {
      assertThat(engine.create(E2bFixture.spec(LONG)).paused()).isFalse();
    }
    long created = creations();

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.create(E2bFixture.spec(LONG)))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.FULL));

    assertThat(creations()).isEqualTo(created + 1);
  }

  private long creations() {
    return peer.requests().stream()
        .filter(seen -> seen.method().equals("POST") && seen.path().equals("/sandboxes"))
        .count();
  }

  private void assertUnavailable(SandboxSpec spec) {
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.create(spec))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
  }

  @Test
  void aTemplateOfAnotherSizeIsRefused() {
    SandboxSpec spec = Requests.spec(LONG);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.create(spec))
        .withMessageContaining("has 2 cores and 512 MiB")
        .withMessageContaining("2 cores and 256 MiB");
    assertThat(engine.list()).isEmpty();
  }

  @Test
  void aSandboxThatCrashedIsToldOf() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    Recording recording = Requests.startBash(sandbox, "sleep 300");

    peer.kill(peer.sandboxes().getFirst().path("id").asText());

    assertThat(end.get(20, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.AGENT_LOST);
    assertThat(recording.await().reason()).isEqualTo(ExecutionEnd.Reason.SANDBOX_ENDED);
  }

  @Test
  void aPauseThatFailsLeavesASandboxThatIsReached() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertThat(Requests.run(sandbox, Requests.bash("true")).await().exitCode()).hasValue(0);
    peer.fault("status", "/pause$", "status", 500, "times", 3);
    peer.fault("status", "/connect$", "status", 500, "times", 3);

    assertThatExceptionOfType(EngineException.class).isThrownBy(sandbox::pause);

    assertThat(sandbox.paused()).isFalse();
    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  @Test
  void whatCannotBeEndedWhenItsTimeIsOverIsEndedLater() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(Duration.ofSeconds(4)));
    CompletableFuture<SandboxEnd> end = new CompletableFuture<>();
    sandbox.onEnd(end::complete);
    sandbox.pause();
    peer.fault("status", "^/sandboxes/[^/]*$", "method", "DELETE", "status", 500, "times", 3);

    assertThat(end.get(30, TimeUnit.SECONDS).reason()).isEqualTo(SandboxEnd.Reason.PAID_TIME_OVER);
    assertThat(peer.sandboxes()).hasSize(1);

    sandbox.destroy(Duration.ZERO);
    assertThat(peer.sandboxes()).isEmpty();
  }

  @Test
  void aSandboxInTheMiddleOfARotationIsTakenUpRunning() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertThat(Requests.run(sandbox, Requests.python("kept = 7")).await().exitCode()).hasValue(0);
    engine.close();
    Path folder = stateFolder.resolve(sandbox.id().value());
    new SavedSandbox(folder.resolve("sandbox"), InstantSource.system()).rotating(true);
    peer.pause(peer.sandboxes().getFirst().path("id").asText());

    engine = E2bFixture.open(peer, stateFolder);
    EngineSandbox again = engine.adopt(sandbox.id(), sandbox.generation()).orElseThrow();

    again.takeUp(List.of());
    assertThat(again.paused()).isFalse();
    assertThat(Requests.run(again, Requests.python("kept")).results())
        .containsEntry("text/plain", "7");
  }

  @Test
  void aSandboxWhoseAgentWasNeverThereIsNotTakenUp() {
    EngineSandbox first = engine.create(E2bFixture.spec(LONG));
    // The second of a template is handed out before.
    peer.fault("delay", START, "ms", 3000, "times", 9);
    EngineSandbox second = engine.create(E2bFixture.spec(LONG));
    engine.close();
    peer.clearFaults();
    engine = E2bFixture.open(peer, stateFolder);

    assertThat(engine.adopt(second.id(), second.generation())).isEmpty();
    assertThat(engine.adopt(first.id(), first.generation())).isPresent();
  }

  @Test
  void outputIsWholeWhateverBreaks() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    Recording recording =
        Requests.startBash(sandbox, "for i in {0..599}; do echo $i; sleep 0.005; done");

    for (int i = 0; i < 4; i++) {
      String before = recording.stdout();
      await().until(() -> recording.stdout().length() > before.length() + 100);
      peer.fault("cut_now", START);
    }

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout().lines())
        .containsExactlyElementsOf(IntStream.range(0, 600).mapToObj(Integer::toString).toList());
  }

  @Test
  void inputIsWholeWhateverBreaks() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    Recording recording = new Recording();
    ExecutionSpec command = Requests.command(LONG, "cat");
    EngineExecution execution =
        sandbox.start(
            new ExecutionSpec(
                command.id(),
                command.run(),
                Optional.empty(),
                Map.of(),
                new Stdio(new byte[0], true, Optional.empty()),
                LONG),
            recording);
    recording.awaitStarted();

    long offset = 0;
    for (int i = 0; i < 20; i++) {
      byte[] line = ("line " + i + "\n").getBytes(StandardCharsets.UTF_8);
      offset = execution.sendInput(offset, line);
      if (i % 5 == 2) {
        peer.fault("cut_now", START);
      }
    }
    execution.closeInput();

    assertThat(recording.await().exitCode()).hasValue(0);
    assertThat(recording.stdout().lines())
        .containsExactlyElementsOf(IntStream.range(0, 20).mapToObj(i -> "line " + i).toList());
  }

  // The peer ends what runs for longer in one piece; the margin is for a machine that is busy.
  @Test
  void aSessionIsBegunAnewBeforeItsLimit() throws Exception {
    engine.close();
    peer.close();
    peer = Peer.start("--max-session", "7");
    engine = new E2bEngine(E2bFixture.settings(peer, stateFolder, Duration.ofSeconds(3)));
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertThat(Requests.run(sandbox, Requests.python("kept = 7")).await().exitCode()).hasValue(0);
    Recording recording =
        Requests.startBash(sandbox, "for i in {0..79}; do echo $i; sleep 0.1; done");

    assertThat(recording.await().exitCode()).hasValue(0);

    assertThat(recording.stdout().lines()).hasSize(80).endsWith("79");
    assertThat(Requests.run(sandbox, Requests.python("kept")).results())
        .containsEntry("text/plain", "7");
    assertThat(peer.requests())
        .filteredOn(seen -> seen.path().endsWith("/pause"))
        .hasSizeGreaterThanOrEqualTo(2);
  }

  @Test
  void aRenewalDoesNotWaitForWhatTakesLongAndIsNotForgotten() throws Exception {
    engine.close();
    engine = new E2bEngine(E2bFixture.settings(peer, stateFolder, Duration.ofSeconds(3)));
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertThat(Requests.run(sandbox, Requests.bash("true")).await().exitCode()).hasValue(0);
    peer.fault("delay", "/pause$", "ms", 5000);
    await().atMost(20, TimeUnit.SECONDS).until(() -> asked("/pause") > 0);

    sandbox.renew(LONG);

    assertThat(asked("/connect")).isZero();
    assertThat(asked("/timeout")).isZero();
    await().atMost(20, TimeUnit.SECONDS).until(() -> asked("/timeout") > 0);
    assertThat(Requests.run(sandbox, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  private long asked(String what) {
    return peer.requests().stream().filter(seen -> seen.path().endsWith(what)).count();
  }

  @Test
  void whatE2bHasOnRecordIsTold() throws Exception {
    engine.close();
    engine = new E2bEngine(E2bFixture.settings(peer, stateFolder, LONG, "e2b.app"));
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertThat(Requests.run(sandbox, Requests.bash("sleep 1")).await().exitCode()).hasValue(0);
    sandbox.pause();

    sandbox.destroy(Duration.ZERO);

    assertThat(engine.keepsRecords()).isTrue();
    assertThat(engine.record(sandbox.remoteId().orElseThrow()).orElseThrow().ran())
        .isBetween(Duration.ofSeconds(1), Duration.ofSeconds(30));
  }

  @Test
  void aRecordThatIsNotAsDocumentedSaysNothingOfTheOthers() {
    peer.fault("status", "/events/sandboxes", "status", 200, "body", List.of(Map.of("id", "e1")));

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> engine.record("i1"))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.FAILED));
  }

  @Test
  void whatHasNoIdOfOursIsLeftOutOfWhatRuns() {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    Map<String, Object> ours =
        Map.of(
            "sandboxID", "i1",
            "templateID", "t1",
            "clientID", "x",
            "startedAt", "2026-11-29T10:00:00Z",
            "endAt", "2026-11-29T10:05:00Z",
            "cpuCount", 2,
            "memoryMB", 512,
            "envdVersion", "0.6.13",
            "state", "running");
    String owner = engine.place().substring(engine.place().indexOf(' ') + 1);
    Map<String, Object> nameless = new HashMap<>(ours);
    nameless.put("diskSizeMB", 1024);
    nameless.put("metadata", Map.of(E2bPlace.OWNER, owner));
    Map<String, Object> named = new HashMap<>(nameless);
    named.put("metadata", Map.of(E2bPlace.OWNER, owner, E2bPlace.SANDBOX, sandbox.id().value()));
    peer.fault("status", "^/v2/sandboxes", "status", 200, "body", List.of(nameless, named));

    assertThat(engine.list()).extracting(EngineInstance::sandboxId).containsExactly(sandbox.id());
  }

  @Test
  void whatE2bHasOnRecordIsToldToEveryServer(@TempDir Path other) {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    sandbox.destroy(Duration.ZERO);

    try (E2bEngine second = new E2bEngine(E2bFixture.settings(peer, other, LONG, "e2b.app"))) {
      assertThat(second.record(sandbox.remoteId().orElseThrow())).isPresent();
    }
  }

  @Test
  void anotherServersSandboxIsReached(@TempDir Path other) {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    String place = engine.place();
    try (E2bEngine second = E2bFixture.open(peer, other)) {
      assertThat(second.list()).isEmpty();

      assertThat(second.end(sandbox.id(), place)).isInstanceOf(RemoteEnd.Gone.class);

      assertThat(second.end(sandbox.id(), "local:elsewhere"))
          .isInstanceOf(RemoteEnd.OutOfReach.class);
    }
    assertThat(peer.sandboxes()).isEmpty();
  }

  @Test
  void whatTheTemplateHasIsUsed() throws Exception {
    EngineSandbox sandbox = engine.create(E2bFixture.spec(LONG));
    assertThat(sandbox.languages())
        .contains(Language.PYTHON, Language.BASH, Language.JAVASCRIPT, Language.TYPESCRIPT);

    Recording cell =
        Requests.run(sandbox, Requests.code(Language.JAVASCRIPT, "const kept = 6; kept * 7"));

    assertThat(cell.results()).containsEntry("text/plain", "42");
    assertThat(List.of(cell.await().exitCode().orElse(1))).containsExactly(0);
  }

  @Test
  void tooManyRequestsFailNoCheck() {
    peer.fault("status", "/sandboxes$", "status", 429, "headers", Map.of("Retry-After", "600"));

    engine.check();

    assertThat(peer.faults()).isEmpty();
  }

  @Test
  void aWrongKeyFailsTheCheck() {
    engine.check();
    peer.fault("status", "^/v2/sandboxes", "status", 401, "times", 5);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(engine::check)
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
  }
}
