package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.executionId;
import static dev.sandkeeper.server.Caller.stderr;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.Terminal;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Keys of known kinds in what programs write, through a real channel. */
class RedactionServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final String BODY = "a1B2c3D4e5F6".repeat(3);
  private static final String TOKEN = "ghp_" + BODY;
  private static final String MARK = "[redacted:github-token]";

  private final Caller caller = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @AfterEach
  void nothingReadableWasKept() throws IOException {
    try (Stream<Path> files = Files.walk(server.dataFolder().resolve("journal"))) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        assertThat(Files.readString(file, StandardCharsets.ISO_8859_1)).doesNotContain(BODY);
      }
    }
  }

  @Test
  void commandsShowNoKeysAndTheirHashesAreOfWhatIsShown() throws Exception {
    List<ExecutionEvent> events =
        caller.shell(sandbox, "echo out " + TOKEN + " end; echo err " + TOKEN + " >&2");

    assertThat(stdout(events)).isEqualTo("out " + MARK + " end\n");
    assertThat(stderr(events)).isEqualTo("err " + MARK + "\n");
    assertThat(caller.attach(executionId(events), 0)).isEqualTo(events);
    byte[] expected =
        MessageDigest.getInstance("SHA-256")
            .digest(stdout(events).getBytes(StandardCharsets.UTF_8));
    await()
        .untilAsserted(() ->
            assertThat(audited(executionId(events)))
                .singleElement()
                .satisfies(event ->
                    assertThat(event.getStdoutSha256().toByteArray()).isEqualTo(expected)));
  }

  @Test
  void aKeyThatIsWrittenInPartsIsNotShown() {
    String program =
        "import os, time\n"
            + "for part in ('key ghp_', '"
            + BODY.substring(0, 7)
            + "', '"
            + BODY.substring(7, 20)
            + "', '"
            + BODY.substring(20)
            + "', '\\n'):\n"
            + "  os.write(1, part.encode()); os.write(2, b'.'); time.sleep(0.02)";
    List<ExecutionEvent> events =
        caller.execute(
            ExecuteRequest.newBuilder()
                .setSandboxId(sandbox)
                .setCommand(Command.newBuilder().addArgv("python3").addArgv("-c").addArgv(program))
                .build());

    assertThat(stdout(events)).isIn("key " + MARK + "\n", "key ghp_" + MARK + "\n");
    assertThat(stderr(events)).isEqualTo(".....");
  }

  @Test
  void codeShowsNoKeysWhicheverWayItTells() {
    List<ExecutionEvent> events =
        caller.python(
            sandbox,
            "class Shown:\n"
                + "  def _repr_html_(self): return '<b>"
                + TOKEN
                + "</b>'\n"
                + "  def __repr__(self): return '"
                + TOKEN
                + "'\n"
                + "display(Shown())\n"
                + "print('"
                + TOKEN
                + "')\n"
                + "raise ValueError('"
                + TOKEN
                + "')");

    assertThat(events.toString()).doesNotContain(BODY.substring(0, 12));
    assertThat(stdout(events)).isEqualTo(MARK + "\n");
    assertThat(events)
        .filteredOn(ExecutionEvent::hasResult)
        .singleElement()
        .satisfies(event -> assertThat(event.toString()).contains("<b>" + MARK + "</b>"));
    assertThat(events)
        .filteredOn(ExecutionEvent::hasError)
        .singleElement()
        .satisfies(event -> {
          assertThat(event.getError().getValue()).isEqualTo(MARK);
          assertThat(event.getError().getTraceback()).contains(MARK);
        });
  }

  @Test
  void terminalsAndOneOffRunsShowNoKeys() {
    List<ExecutionEvent> terminal =
        caller.execute(
            Caller.shellRequest(sandbox, "echo " + TOKEN).toBuilder()
                .setTerminal(Terminal.newBuilder().setRows(24).setColumns(200))
                .build());
    assertThat(stdout(terminal)).isEqualTo(MARK + "\r\n");

    List<ExecutionEvent> once = new ArrayList<>();
    caller
        .runOnce(
            RunOnceRequest.newBuilder()
                .setCommand(Command.newBuilder().setShell("printf %s " + TOKEN))
                .build())
        .forEach(step -> once.add(step.getEvent()));
    assertThat(stdout(once)).isEqualTo(MARK);
  }

  @Test
  void aPromptThatLooksLikeTheBeginningOfAKeyComesBeforeTheAnswer() {
    Iterator<ExecuteResponse> stream =
        caller
            .sandboxes()
            .execute(
                Caller.shellRequest(
                    sandbox, "printf 'key ghp_abc'; while [ ! -e go ]; do sleep 0.01; done"));
    StringBuilder seen = new StringBuilder();
    while (seen.length() < 11) {
      seen.append(stream.next().getEvent().getStdout().getData().toStringUtf8());
    }
    caller.shell(sandbox, "touch go");

    assertThat(seen.toString()).isEqualTo("key ghp_abc");
    assertThat(stdout(Caller.events(stream))).isEmpty();
  }

  @Test
  void aRestartLosesNothingAndShowsNoKeyThatWasUnderWay() throws Exception {
    String program =
        "import os, time\n"
            + "for i in range(60):\n"
            + "  for part in (b'%d ghp_' % i, *(bytes([c]) for c in b'"
            + BODY
            + "'), b'\\n'):\n"
            + "    os.write(1, part); time.sleep(0.001)";
    Iterator<ExecuteResponse> stream =
        caller
            .sandboxes()
            .execute(
                ExecuteRequest.newBuilder()
                    .setSandboxId(sandbox)
                    .setCommand(
                        Command.newBuilder().addArgv("python3").addArgv("-c").addArgv(program))
                    .build());
    String executionId = stream.next().getEvent().getStarted().getExecutionId();
    StringBuilder seen = new StringBuilder();
    while (!seen.toString().contains("\n3 ")) {
      seen.append(stream.next().getEvent().getStdout().getData().toStringUtf8());
    }
    server.restart();

    String all = stdout(server.runner().attach(executionId, 0));
    assertThat(all).doesNotContain(BODY);
    assertThat(all.lines().map(line -> line.substring(0, line.indexOf(' '))))
        .containsExactlyElementsOf(IntStream.range(0, 60).mapToObj(Integer::toString).toList());
    assertThat(all.lines()).allMatch(line -> line.endsWith(MARK));
  }

  private static List<AuditEvent> audited(String executionId) {
    return server
        .admin()
        .audit()
        .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1000).build())
        .getAuditEventsList()
        .stream()
        .filter(event -> event.getExecutionId().equals(executionId))
        .toList();
  }
}
