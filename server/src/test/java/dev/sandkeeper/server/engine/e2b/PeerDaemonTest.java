package dev.sandkeeper.server.engine.e2b;

import static dev.sandkeeper.server.engine.e2b.PeerCaller.CONNECT;
import static dev.sandkeeper.server.engine.e2b.PeerCaller.START;
import static dev.sandkeeper.server.engine.e2b.PeerCaller.json;
import static dev.sandkeeper.server.engine.e2b.PeerCaller.output;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import dev.sandkeeper.server.engine.e2b.PeerCaller.Events;
import dev.sandkeeper.server.engine.e2b.PeerCaller.Made;
import java.io.IOException;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What the peer's sandboxes do with processes and files, by plain HTTP. */
@Timeout(60)
class PeerDaemonTest {
  private static Peer peer;
  private PeerCaller caller;
  private Made made;

  @BeforeAll
  static void startPeer() {
    peer = Peer.start("--exit-memory", "1");
  }

  @AfterAll
  static void closePeer() {
    peer.close();
  }

  @BeforeEach
  void start() throws Exception {
    caller = new PeerCaller(peer);
    made = caller.create("{'templateID':'base','envVars':{'FROM_CREATE':'made'}}");
  }

  @AfterEach
  void close() {
    caller.close();
    assertThat(peer.violations()).isEmpty();
  }

  @Test
  void commandRunsInItsSandbox() throws Exception {
    List<JsonNode> events =
        caller.run(made, "echo $FROM_CREATE $HOME; echo err >&2; hostname; exit 3").rest();

    assertThat(events.getFirst().at("/start/pid").asInt()).isPositive();
    assertThat(output(events, "stdout")).isEqualTo("made /home/user\ne2b.local\n");
    assertThat(output(events, "stderr")).isEqualTo("err\n");
    assertThat(events.getLast().path("end"))
        .isEqualTo(
            json("{'exited':true,'status':'exit status 3','exitCode':3,'error':'exit status 3'}"));
  }

  @Test
  void outputWithoutReaderIsLostAndTheProcessGoesOn() throws Exception {
    JsonNode first;
    try (Events events =
        start("echo early; until [ -e go ]; do sleep 0.05; done; echo late", "tagged")) {
      first = events.next();
      assertThat(output(List.of(events.next().path("event")), "stdout")).isEqualTo("early\n");
    }

    try (Events again = connect("{'tag':'tagged'}")) {
      assertThat(again.next()).isEqualTo(first);
      upload("go", "");
      assertThat(output(again.rest(), "stdout")).isEqualTo("late\n");
    }
  }

  @Test
  void exitIsRememberedForWhile() throws Exception {
    start("exit 4", "ended").rest();

    List<JsonNode> again = connect("{'tag':'ended'}").rest();

    assertThat(again).hasSize(2);
    assertThat(again.getLast().at("/end/exitCode").asInt()).isEqualTo(4);
    await()
        .untilAsserted(() ->
            assertThat(connect("{'tag':'ended'}").next().at("/error/code").asText())
                .isEqualTo("not_found"));
  }

  @Test
  void slowReaderHoldsTheProcessBackAndNobodyElse() throws Exception {
    try (Events slow = caller.run(made, "head -c 100000000 /dev/zero; echo > written")) {
      assertThat(slow.pid()).isPositive();

      assertThat(output(caller.run(made, "sleep 1; ls").rest(), "stdout")).isEmpty();
    }
    // Once nobody reads, nothing holds it back.
    await().until(() -> exists("written"));
  }

  @Test
  void silenceIsFilled() throws Exception {
    List<JsonNode> events =
        caller.run(made, "sleep 1.5; echo a", "Keepalive-Ping-Interval", "1").rest();

    assertThat(events.get(1).has("keepalive")).isTrue();
  }

  @Test
  void deadlineEndsTheDirectChildOnly() throws Exception {
    Events events =
        caller.run(made, "sh -c 'sleep 2; echo > lives' & sleep 60", "Connect-Timeout-Ms", "500");

    assertThat(events.pid()).isPositive();
    assertThat(events.next().at("/error/code").asText()).isEqualTo("deadline_exceeded");
    await().until(() -> exists("lives"));
    assertThat(list()).doesNotContain("sleep 60");
  }

  @Test
  void killedProcessEndsByItsSignal() throws Exception {
    try (Events events = caller.run(made, "exec sleep 60")) {
      int pid = events.pid();

      assertThat(signal(pid, "SIGNAL_SIGKILL")).isEqualTo(200);

      assertThat(events.rest().getLast().path("end"))
          .isEqualTo(json("{'exitCode':-1,'status':'signal: killed','error':'signal: killed'}"));
      assertThat(signal(pid, "SIGNAL_SIGKILL")).isEqualTo(404);
    }
  }

  @Test
  void inputReachesTheProcessUntilItIsClosed() throws Exception {
    try (Events events = caller.stream(made, START, json("{'process':{'cmd':'cat'}}"))) {
      int pid = events.pid();
      String data = Base64.getEncoder().encodeToString("some input".getBytes(UTF_8));
      String process = "{'process':{'pid':" + pid + "}";

      caller.call(
          made, "/process.Process/SendInput", process + ",'input':{'stdin':'" + data + "'}}");
      caller.call(made, "/process.Process/CloseStdin", process + "}");

      assertThat(output(events.rest(), "stdout")).isEqualTo("some input");
    }
  }

  @Test
  void terminalHasSizeThatChanges() throws Exception {
    JsonNode start =
        json(
            "{'process':{'cmd':'sh','args':['-c','tty; stty size; read l; stty size']},"
                + "'pty':{'size':{'cols':80,'rows':24}}}");
    try (Events events = caller.stream(made, START, start)) {
      String process = "{'process':{'pid':" + events.pid() + "}";
      caller.call(
          made, "/process.Process/Update", process + ",'pty':{'size':{'cols':100,'rows':40}}}");
      caller.call(made, "/process.Process/SendInput", process + ",'input':{'pty':'Cg=='}}");

      assertThat(output(events.rest(), "pty")).contains("/dev/pts/").endsWith("40 100\r\n");
    }
  }

  @Test
  void pauseCutsStreamsAndStopsProcesses() throws Exception {
    try (Events events = caller.run(made, "while sleep 0.05; do echo >> ticks; done")) {
      assertThat(events.pid()).isPositive();
      await().until(() -> exists("ticks"));

      caller.control("POST", "/sandboxes/" + made.id() + "/pause", "{}");

      assertThatThrownBy(events::next).isInstanceOf(IOException.class);
    }
    assertThat(states()).hasSizeGreaterThan(1).containsOnly("T");
    caller.control("POST", "/v2/sandboxes/" + made.id() + "/connect", "{}");
    byte[] before = read("ticks");
    await().until(() -> read("ticks").length > before.length);
  }

  @Test
  void crashCutsStreams() throws Exception {
    try (Events events = caller.run(made, "sleep 60")) {
      assertThat(events.pid()).isPositive();

      peer.kill(made.id());

      assertThatThrownBy(events::next).isInstanceOf(IOException.class);
    }
  }

  @Test
  void filesComeBackAsTheyWere() throws Exception {
    String content = "0123456789".repeat(30_000);

    upload("folder/file", content);

    assertThat(read("folder/file")).isEqualTo(content.getBytes(UTF_8));
    byte[] part =
        caller
            .send(caller.daemon(made, "/files?path=folder/file").header("Range", "bytes=5-8"))
            .body();
    assertThat(part).asString().isEqualTo("5678");
    String stat =
        new String(
            caller.call(made, "/filesystem.Filesystem/Stat", "{'path':'folder/file'}").body(),
            UTF_8);
    assertThat(stat).contains("\"size\":\"300000\"").contains("\"owner\":\"user\"");
  }

  @Test
  void portOfProgramIsReached() throws Exception {
    assertThat(caller.send(caller.request(made, 8000, "/")).statusCode()).isEqualTo(502);
    upload("page", "from inside");

    try (Events events = caller.run(made, "exec python3 -m http.server -b 127.0.0.1 8000")) {
      assertThat(events.pid()).isPositive();
      await()
          .untilAsserted(() ->
              assertThat(caller.send(caller.request(made, 8000, "/page")).body())
                  .asString()
                  .isEqualTo("from inside"));
    }
  }

  private Events start(String script, String tag) throws Exception {
    JsonNode message =
        json("{'stdin':false,'process':{'cmd':'/bin/sh','args':['-c','" + script + "']}}")
            .put("tag", tag);
    return caller.stream(made, START, message);
  }

  private Events connect(String selector) throws Exception {
    return caller.stream(made, CONNECT, json("{'process':" + selector + "}"));
  }

  /** Returns the states of the first process of the sandbox and of its children. */
  private List<String> states() throws IOException {
    String first =
        peer.sandboxes().stream()
            .filter(sandbox -> sandbox.path("id").asText().equals(made.id()))
            .map(sandbox -> sandbox.path("pid").asText())
            .findFirst()
            .orElseThrow();
    List<String> states = new ArrayList<>();
    states.add(state(first));
    String children = Files.readString(Path.of("/proc", first, "task", first, "children"));
    for (String child : children.strip().split(" ", -1)) {
      states.add(state(child));
    }
    return states;
  }

  private static String state(String pid) throws IOException {
    String stat = Files.readString(Path.of("/proc", pid, "stat"));
    return stat.substring(stat.lastIndexOf(')') + 2).substring(0, 1);
  }

  private int signal(int pid, String name) throws Exception {
    String message = "{'process':{'pid':" + pid + "},'signal':'" + name + "'}";
    return caller.call(made, "/process.Process/SendSignal", message).statusCode();
  }

  private String list() throws Exception {
    return new String(caller.call(made, "/process.Process/List", "{}").body(), UTF_8);
  }

  private void upload(String path, String content) throws Exception {
    assertThat(
            caller
                .send(
                    caller
                        .daemon(made, "/files?path=" + path)
                        .header("Content-Type", "application/octet-stream")
                        .POST(BodyPublishers.ofString(content)))
                .statusCode())
        .isEqualTo(200);
  }

  private byte[] read(String path) throws Exception {
    return caller.send(caller.daemon(made, "/files?path=" + path)).body();
  }

  private boolean exists(String path) throws Exception {
    return caller.send(caller.daemon(made, "/files?path=" + path)).statusCode() == 200;
  }
}
