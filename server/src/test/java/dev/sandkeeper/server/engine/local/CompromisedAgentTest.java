package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.typesafe.config.ConfigRenderOptions;
import com.typesafe.config.ConfigValueFactory;
import dev.sandkeeper.server.RunningServer;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.guest.Guest;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What somebody gets who has taken the agent of a sandbox over: a program of ours is in its place,
 * as process 1, with its user id, rights, filter of system calls and socket.
 */
@Timeout(90)
final class CompromisedAgentTest {

  @RegisterExtension static final RunningServer server = new RunningServer();

  /** What holds for the agent as it does for the user. */
  private static final List<String> ATTACKS =
      List.of(
          "agent/reach",
          "host-files",
          "server-secrets",
          "host-ports",
          "world",
          "abstract-sockets",
          "mounts",
          "namespaces",
          "device-nodes",
          "file-handles",
          "release-agent",
          "core-pattern",
          "privileged-calls",
          "io-uring",
          "bpf",
          "keyrings",
          "perf-events",
          "userfaultfd",
          "calls-of-32-bit",
          "calls-of-x32",
          "vsock-sockets",
          "netlink-sockets",
          "packet-sockets",
          "alg-sockets",
          "interfaces");

  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final long MOST = 1 << 20;
  private static final int MOST_ENTRIES = 100;

  private static EngineFixture fixture;
  private static EngineFixture taken;
  private static HostWatch host;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    host = new HostWatch(fixture, server);
    taken = new EngineFixture();
    putInPlace();
  }

  @AfterAll
  static void destroy() throws Exception {
    host.close();
    fixture.close();
    taken.close();
  }

  @AfterEach
  void othersAreWell() throws Exception {
    host.assertHostIsWell();
    host.assertNeighbourAnswers();
  }

  /** Makes a sandbox whose agent is ours. */
  private static EngineFixtureSandbox takenOver(String manner) throws Exception {
    Files.writeString(place().resolve("manner"), manner);
    return new EngineFixtureSandbox(taken);
  }

  /** What every sandbox of that engine begins as has another agent in it. */
  private static void putInPlace() throws Exception {
    Path place = place();
    for (String name : List.of("agent.pyc", "agent.py")) {
      Files.deleteIfExists(place.resolve(name));
    }
    List<Path> programs = new ArrayList<>(List.of(HostWatch.tool("attack.py")));
    for (String attack : ATTACKS) {
      programs.add(program(attack));
    }
    for (Path program : programs) {
      Files.copy(program, place.resolve(program.getFileName().toString()));
    }
    Files.writeString(place.resolve("protocol"), Guest.PROTOCOL);
    Files.writeString(
        place.resolve("hints"),
        ConfigValueFactory.fromMap(host.hints()).render(ConfigRenderOptions.concise()));
    Process compile =
        new ProcessBuilder(
                "/usr/bin/python3",
                "-c",
                "import py_compile, sys; py_compile.compile(*sys.argv[1:], doraise=True)",
                program("agent/fake").toString(),
                place.resolve("agent.pyc").toString())
            .inheritIO()
            .start();
    assertThat(compile.waitFor()).isZero();
  }

  private static Path place() {
    return taken.settings().stateFolder().resolve("skeleton/opt/sandkeeper");
  }

  private static Path program(String name) {
    return Attack.folder().resolve(name + ".py");
  }

  static List<String> attacks() {
    return ATTACKS;
  }

  @ParameterizedTest
  @MethodSource("attacks")
  void agentReachesNothing(String attack) throws Exception {
    try (EngineFixtureSandbox own = takenOver("run " + attack.replaceAll(".*/", ""))) {
      Path log =
          new StateFolder(taken.settings().stateFolder())
              .sandbox(own.sandbox().id())
              .resolve("launch.log");
      await().atMost(PATIENCE).until(() -> Files.readString(log).contains("exit "));
      String said = Files.readString(log);

      assertThat(said).contains("held: ").endsWith("exit 0\n");
      assertThat(said.lines().filter(line -> line.startsWith("BROKEN:"))).as(said).isEmpty();
      host.assertNoSecret(said);
    }
  }

  /** Whatever the agent says, a call ends: with an answer, or an error of the engine's. */
  private static void ends(ThrowingCallable call) {
    try {
      call.call();
    } catch (EngineException | EngineFileException e) {
      assertThat(e.getMessage()).isNotBlank();
    } catch (Throwable e) {
      throw new AssertionError("another error than the engine's", e);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sizes", "cut", "order", "junk", "words", "endless", "entries"})
  void callsEndWhateverTheAgentSends(String manner) throws Exception {
    try (EngineFixtureSandbox own = takenOver(manner)) {
      EngineSandbox sandbox = own.sandbox();
      EngineFiles files = sandbox.files();
      AtomicLong read = new AtomicLong();
      AtomicLong collected = new AtomicLong();

      ends(() -> files.read("file", 0, MOST, bytes -> read.addAndGet(bytes.remaining())));
      ends(() ->
          files.collect(
              ".", List.of("**"), MOST, 1, bytes -> collected.addAndGet(bytes.remaining())));
      ends(() -> assertThat(files.list(".", 1, MOST_ENTRIES)).hasSizeLessThan(MOST_ENTRIES + 1));
      ends(() -> files.stat("file"));
      ends(() -> files.move("file", "other", false));
      ends(() -> files.remove("file", true));
      ends(() -> HostWatch.upload(sandbox, "file", new byte[1000]));
      assertThat(read.get()).isLessThanOrEqualTo(MOST);
      assertThat(collected.get()).isLessThanOrEqualTo(2 * MOST);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sizes", "cut", "order", "junk", "words"})
  void executionEndsWhateverTheAgentSends(String manner) throws Exception {
    try (EngineFixtureSandbox own = takenOver(manner)) {
      Recording recording = EngineFixture.run(own.sandbox(), EngineFixture.bash("true"));

      assertThat(recording.stdout()).isEmpty();
    }
  }

  /** A program that says more and more is held to its reader's pace, and ends with its sandbox. */
  @ParameterizedTest
  @ValueSource(strings = {"endless", "entries"})
  void sandboxEndsInTheMiddleOfAFlood(String manner) throws Exception {
    try (EngineFixtureSandbox own = takenOver(manner)) {
      Flooded flooded = new Flooded();
      EngineExecution ignored =
          own.sandbox().start(EngineFixture.command(Duration.ofMinutes(1), "true"), flooded);
      assertThat(flooded.much.await(30, TimeUnit.SECONDS)).isTrue();

      var _ = own.sandbox().destroy(Duration.ZERO);

      assertThat(flooded.finished.get(30, TimeUnit.SECONDS)).isEqualTo(Reason.SANDBOX_ENDED);
    }
  }

  /** Counts what it is told, so that a flood is not kept. */
  private static final class Flooded implements ExecutionListener {
    private static final long MUCH = 1000;

    private final CountDownLatch much = new CountDownLatch(1);
    private final CompletableFuture<Reason> finished = new CompletableFuture<>();
    private long told;

    private void tell() {
      told++;
      if (told == MUCH) {
        much.countDown();
      }
    }

    @Override
    public void started(int pid) {
      tell();
    }

    @Override
    public void output(OutputStreamKind kind, long offset, ByteBuffer bytes) {
      tell();
    }

    @Override
    public void result(Map<String, byte[]> mimeData) {
      tell();
    }

    @Override
    public void error(CodeError error) {
      tell();
    }

    @Override
    public void finished(ExecutionEnd end, Runnable kept) {
      finished.complete(end.reason());
    }
  }
}
