package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.RunningServer;
import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.engine.Terminal;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Programs that attack, each in a real sandbox beside a server, a database and a neighbour.
 *
 * <p>An attack has failed when none of its steps says otherwise, it ended as it may, none of the
 * secrets laid out on the host and in the neighbour came out, and all of the host, its server, the
 * neighbour and the sandbox itself are well: while it runs, as far as they are shared, and after.
 *
 * <p>What attacks tell of themselves otherwise on a runtime is in {@code differences.txt}.
 */
@Tag("alone")
@Timeout(90)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class HostileSuite {

  @RegisterExtension final RunningServer server = new RunningServer();

  private static final Duration PATIENCE = Duration.ofSeconds(20);
  private static final String FOLDER = "/home/user/attack/";

  /** What attacks swap, which the one before may have left. */
  private static final List<String> LEFT =
      List.of(HostCall.TARGET, "link", "moved", "plain", "trap");

  /** The agent, a context and what waits for commands. */
  private static final int MOST_AT_REST = 12;

  /** A kernel of the sandbox's own, and what that keeps for processes to come. */
  private static final int MOST_AT_REST_ON_GVISOR = 20;

  /** Kept in the interpreter of the shared sandbox: what comes after finds it as it was. */
  private static final String KEPT = EngineFixture.name();

  private final String runtime;
  private final boolean gvisor;
  private final int mostAtRest;
  private final AttackReport report;
  private final AttackDifferences differences;
  private EngineFixture fixture;
  private HostWatch host;
  private SandboxSpec sharedSpec;
  private EngineSandbox shared;

  HostileSuite(String runtime) throws IOException {
    this.runtime = runtime;
    gvisor = RuntimeKind.of(Path.of(runtime)).isGvisor();
    mostAtRest = gvisor ? MOST_AT_REST_ON_GVISOR : MOST_AT_REST;
    report = new AttackReport(runtime);
    differences = AttackDifferences.of(runtime, attacks(), report.isAskedFor());
  }

  @BeforeAll
  void create() throws Exception {
    fixture = new EngineFixture(runtime);
    host = new HostWatch(fixture, server);
    share();
  }

  /** Makes the sandbox of the attacks that leave theirs well. */
  private void share() throws Exception {
    sharedSpec = EngineFixture.spec();
    shared = fixture.engine().create(sharedSpec);
    var _ = EngineFixture.run(shared, EngineFixture.python("kept = '" + KEPT + "'"));
  }

  private void replaceShared() throws Exception {
    var _ = shared.destroy(Duration.ZERO);
    share();
  }

  @AfterAll
  void destroy() throws Exception {
    host.close();
    fixture.close();
  }

  static List<Attack> attacks() throws IOException {
    return Attack.all();
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("attacks")
  void attackFails(Attack attack) throws Exception {
    try {
      String seen = attack.ownSandbox() ? attackApart(attack) : attackShared(attack);
      report.add(attack, "held", seen);
    } catch (AssertionError | Exception e) {
      report.add(attack, "broken", String.valueOf(e.getMessage()));
      if (!attack.ownSandbox()) {
        // What comes next is judged by itself.
        replaceShared();
      }
      throw e;
    }
  }

  private String attackShared(Attack attack) throws Exception {
    String seen = attack(attack, shared, sharedSpec);
    if (differences.endsTheSandbox(attack)) {
      replaceShared();
      return seen;
    }
    await()
        .atMost(PATIENCE)
        .untilAsserted(
            () -> assertThat(host.processes(shared)).hasSizeLessThanOrEqualTo(mostAtRest));
    assertThat(EngineFixture.run(shared, EngineFixture.python("kept")).results())
        .as("what was kept")
        .containsEntry("text/plain", "'" + KEPT + "'");
    return seen;
  }

  private String attackApart(Attack attack) throws Exception {
    SandboxSpec spec = EngineFixture.spec();
    EngineSandbox sandbox = fixture.engine().create(spec);
    int range = host.rangeOf(sandbox);
    try {
      return attack(attack, sandbox, spec);
    } finally {
      var _ = sandbox.destroy(Duration.ZERO);
      host.assertGone(sandbox.id(), range);
    }
  }

  /** Returns what the attack said of itself, in short. */
  private String attack(Attack attack, EngineSandbox sandbox, SandboxSpec spec) throws Exception {
    lay(attack, sandbox);
    Recording recording = new Recording();
    EngineExecution ignored = sandbox.start(execution(attack, ""), recording);
    meanwhile(attack, sandbox, recording);
    ExecutionEnd end = recording.await();
    String said = recording.stdout() + recording.stderr();

    host.assertNoSecret(said);
    host.assertContained(sandbox, spec);
    host.assertHostIsWell();
    host.assertNeighbourAnswers();
    differences.assertEnd(attack, end, said);
    differences.assertHeld(attack, said);
    if (!differences.endsTheSandbox(attack)) {
      assertAnswers(attack, sandbox);
      if (attack.runsAfter()) {
        String saidAfter = EngineFixture.run(sandbox, execution(attack, "after")).stdout();
        differences.assertHeld(attack, saidAfter);
      }
    }
    return said.lines().filter(line -> line.startsWith("held:")).count()
        + " steps, "
        + end.reason();
  }

  private static void lay(Attack attack, EngineSandbox sandbox) throws IOException {
    for (String left : LEFT) {
      try {
        sandbox.files().remove(left, true);
      } catch (EngineFileException e) {
        // It is not there, as most of the time.
        assertThat(e.kind()).isEqualTo(EngineFileException.Kind.NOT_FOUND);
      }
    }
    for (String tool : List.of("attack.py", "attack.bash")) {
      HostWatch.upload(sandbox, FOLDER + tool, Files.readAllBytes(HostWatch.tool(tool)));
    }
    Path file = attack.file();
    HostWatch.upload(sandbox, FOLDER + file.getFileName(), Files.readAllBytes(file));
  }

  private ExecutionSpec execution(Attack attack, String argument) throws IOException {
    String file = FOLDER + attack.file().getFileName();
    ExecutionSpec.Run run =
        switch (attack.kind()) {
          case CELL -> EngineFixture.python(Files.readString(attack.file()));
          case COMMAND, TERMINAL ->
              new ExecutionSpec.Command(
                  file.endsWith(".sh")
                      ? List.of("bash", file, argument)
                      : List.of("python3", "-B", file, argument));
        };
    Optional<Terminal> terminal =
        // A program has none on gVisor.
        attack.kind() == Attack.Kind.TERMINAL && !gvisor
            ? Optional.of(new Terminal(24, 80, "xterm"))
            : Optional.empty();
    return new ExecutionSpec(
        EngineFixture.command(PATIENCE, "x").id(),
        run,
        Optional.empty(),
        host.hints(),
        new Stdio(new byte[0], false, terminal),
        attack.deadline());
  }

  /** What the host does while it is attacked; where all is taken, it looks at the neighbour. */
  private void meanwhile(Attack attack, EngineSandbox sandbox, Recording recording)
      throws Exception {
    if (attack.holds()) {
      await()
          .atMost(attack.deadline().plus(PATIENCE))
          .until(() -> recording.isFinished() || recording.stdout().contains("waiting"));
    }
    if (attack.ownSandbox()) {
      host.assertNeighbourWorks();
    }
    if (attack.holds() && !differences.endsTheSandbox(attack)) {
      HostWatch.upload(sandbox, "go", new byte[0]);
    }
    if (attack.hostCall().isPresent()) {
      ByteArrayOutputStream seen = new ByteArrayOutputStream();
      boolean last;
      do {
        last = recording.isFinished();
        try {
          attack.hostCall().get().call(sandbox, host.hints(), seen);
        } catch (EngineFileException e) {
          // Refused, as it may be. What else is thrown is not.
          assertThat(e.kind()).isNotNull();
        }
      } while (!last);
      host.assertNoSecret(seen.toString(StandardCharsets.UTF_8));
    }
  }

  /** The agent answers, and what is run next has its own, right outcome. */
  private void assertAnswers(Attack attack, EngineSandbox sandbox) throws Exception {
    assertThat(sandbox.files().stat("/tmp").mode()).isEqualTo(01777);
    sandbox.renew(Duration.ofMinutes(5));
    if (attack.nextMayBeRefused() && refusesNext(sandbox)) {
      return;
    }
    String nonce = EngineFixture.name();
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> {
          Recording next = EngineFixture.run(sandbox, EngineFixture.bash("echo " + nonce));
          assertThat(next.await().reason()).as(next.stderr()).isEqualTo(Reason.COMPLETED);
          assertThat(next.stdout()).isEqualTo(nonce + "\n");
        });
    if (attack.ownSandbox()) {
      assertContextsAnswer(sandbox);
    }
  }

  /** A new interpreter, and the default one when it begins anew, are not what they were made. */
  private static void assertContextsAnswer(EngineSandbox sandbox) throws Exception {
    EngineContext fresh =
        new EngineContext(
            new ContextId("fresh"), Language.PYTHON, Optional.empty(), Optional.of(Instant.EPOCH));
    var _ = sandbox.contexts().create(fresh, 5);
    ContextId usual = EngineContext.byDefault(Language.PYTHON).id();
    sandbox.contexts().restart(usual);
    for (ContextId id : List.of(fresh.id(), usual)) {
      Recording cell =
          EngineFixture.run(
              sandbox, new ExecutionSpec.Code(Language.PYTHON, "6 * 7", Optional.of(id)));
      assertThat(cell.results()).as("in %s", id).containsEntry("text/plain", "42");
    }
  }

  /** Whether what the attack keeps leaves nothing for the next program: it harms itself only. */
  private static boolean refusesNext(EngineSandbox sandbox) throws Exception {
    try {
      Recording next = EngineFixture.run(sandbox, EngineFixture.bash("true"));
      return Set.of(Reason.NOT_STARTED, Reason.OUT_OF_MEMORY).contains(next.await().reason());
    } catch (EngineException e) {
      return e.kind() != EngineException.Kind.FAILED;
    }
  }
}
