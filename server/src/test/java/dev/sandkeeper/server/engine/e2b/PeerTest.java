package dev.sandkeeper.server.engine.e2b;

import static dev.sandkeeper.server.engine.e2b.PeerCaller.START;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.sandkeeper.server.engine.e2b.PeerCaller.Events;
import dev.sandkeeper.server.engine.e2b.PeerCaller.Made;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The peer's control API and its faults, by plain HTTP. */
@Timeout(60)
class PeerTest {
  private static final int MOST = 2;
  private static final JsonMapper JSON = new JsonMapper();

  private Peer peer;
  private PeerCaller caller;

  @BeforeEach
  void start() {
    peer = Peer.start("--max-sandboxes", String.valueOf(MOST));
    caller = new PeerCaller(peer);
  }

  @AfterEach
  void close() {
    caller.close();
    peer.close();
  }

  @Test
  void pausedSandboxIsAwayUntilItIsConnectedTo() throws Exception {
    Made made = caller.create();

    assertThat(status("POST", "/sandboxes/" + made.id() + "/pause", "{}")).isEqualTo(204);
    assertThat(status("POST", "/sandboxes/" + made.id() + "/pause", "{}")).isEqualTo(409);
    assertThat(caller.health(made)).isEqualTo(502);
    assertThat(status("POST", "/v2/sandboxes/" + made.id() + "/connect", "{}")).isEqualTo(201);
    assertThat(caller.health(made)).isEqualTo(204);
    assertThat(status("POST", "/v2/sandboxes/" + made.id() + "/connect", "{}")).isEqualTo(200);
  }

  @Test
  void noMoreRunThanMay() throws Exception {
    Made first = caller.create();
    caller.create();

    HttpResponse<String> refused = caller.control("POST", "/v2/sandboxes", "{'templateID':'base'}");

    assertThat(refused.statusCode()).isEqualTo(429);
    assertThat(refused.body()).contains("maximum number of concurrent E2B sandboxes (2)");
    assertThat(status("POST", "/sandboxes/" + first.id() + "/pause", "{}")).isEqualTo(204);
    caller.create();
  }

  @Test
  void sandboxesAreFoundByWhatTheyWereMadeWith() throws Exception {
    Made one = caller.create("{'templateID':'base','metadata':{'of':'a b&c','n':'1'}}");
    caller.create("{'templateID':'base','metadata':{'of':'another','n':'1'}}");

    HttpResponse<String> found =
        caller.control("GET", "/v2/sandboxes?metadata=of%3Da%252520b%252526c%26n%3D1", "");
    HttpResponse<String> page =
        caller.control("GET", "/v2/sandboxes?metadata=n%3D1&limit=1&order=asc", "");
    String token = page.headers().firstValue("X-Next-Token").orElseThrow();
    HttpResponse<String> last =
        caller.control("GET", "/v2/sandboxes?limit=1&order=asc&nextToken=" + token, "");

    assertThat(ids(found)).containsExactly(one.id());
    assertThat(ids(page)).containsExactly(one.id());
    assertThat(ids(last)).hasSize(1).doesNotContain(one.id());
    assertThat(last.headers().firstValue("X-Next-Token")).isEmpty();
  }

  @Test
  void timeoutEndsOrPauses() throws Exception {
    Made ended = caller.create("{'templateID':'base','timeout':1}");
    Made paused = caller.create("{'templateID':'base','timeout':1,'autoPause':true}");

    await().until(() -> status("GET", "/sandboxes/" + ended.id(), "") == 404);
    await()
        .untilAsserted(() ->
            assertThat(caller.control("GET", "/sandboxes/" + paused.id(), "").body())
                .contains("\"state\":\"paused\""));
  }

  @Test
  void eventsTellOfLives() throws Exception {
    Made made = caller.create("{'templateID':'base','metadata':{'of':'test'}}");
    assertThat(status("POST", "/sandboxes/" + made.id() + "/pause", "{}")).isEqualTo(204);
    assertThat(status("POST", "/v2/sandboxes/" + made.id() + "/connect", "{}")).isEqualTo(201);
    assertThat(status("DELETE", "/sandboxes/" + made.id(), "")).isEqualTo(204);

    JsonNode events =
        JSON.readTree(
            caller.control("GET", "/events/sandboxes/" + made.id() + "?orderAsc=true", "").body());

    assertThat(events)
        .extracting(event -> event.path("type").asText())
        .containsExactly(
            "sandbox.lifecycle.created",
            "sandbox.lifecycle.paused",
            "sandbox.lifecycle.resumed",
            "sandbox.lifecycle.killed");
    assertThat(events.at("/1/eventData/execution/execution_time").isInt()).isTrue();
    assertThat(events.at("/3/eventData/kill_reason").asText()).isEqualTo("request");
    assertThat(events.at("/3/eventData/sandbox_metadata/of").asText()).isEqualTo("test");
  }

  @Test
  void crashedSandboxIsGone() throws Exception {
    Made made = caller.create();

    peer.kill(made.id());

    assertThat(caller.health(made)).isEqualTo(502);
    assertThat(status("DELETE", "/sandboxes/" + made.id(), "")).isEqualTo(404);
    assertThat(peer.sandboxes()).isEmpty();
  }

  @Test
  void whatBreaksTheContractIsRefusedAndRecorded() throws Exception {
    Made made = caller.create();

    assertThat(status("POST", "/v2/sandboxes", "{'templateID':'base','secure':true}"))
        .isEqualTo(400);
    assertThat(caller.call(made, "/process.Process/List", "{'all':true}").statusCode())
        .isEqualTo(400);
    assertThat(status("GET", "/files?path=a", "")).isEqualTo(400);

    assertThat(peer.violations())
        .extracting(violation -> violation.path("reason").asText())
        .containsExactly(
            "secure: true (expected: no such field)",
            "all: true (expected: no such field)",
            "missing header: E2b-Sandbox-Id");
  }

  @Test
  void wrongCredentialsAreRefusedEverywhere() throws Exception {
    Made made = new Made(caller.create().id(), "not the token");

    assertThat(caller.call(made, "/process.Process/List", "{}").statusCode()).isEqualTo(401);
    assertThat(caller.send(caller.daemon(made, "/files?path=a")).statusCode()).isEqualTo(401);
  }

  @Test
  void faultsHappenAsOftenAsAsked() throws Exception {
    peer.fault("status", "/v2/sandboxes$", "status", 503, "after", 1, "times", 1);

    List<Integer> statuses = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      statuses.add(status("GET", "/v2/sandboxes", ""));
    }

    assertThat(statuses).containsExactly(200, 503, 200);
  }

  @Test
  void lostAnswerLeavesWhatWasDone() {
    peer.fault("drop_answer", "/v2/sandboxes$");

    assertThatThrownBy(caller::create).isInstanceOf(IOException.class);

    assertThat(peer.sandboxes()).hasSize(1);
  }

  @Test
  void lostRequestLeavesNothing() {
    peer.fault("drop_request", "/v2/sandboxes$");

    assertThatThrownBy(caller::create).isInstanceOf(IOException.class);

    assertThat(peer.sandboxes()).isEmpty();
  }

  @Test
  void streamIsCutInTheMiddleOfFrame() throws Exception {
    Made made = caller.create();
    peer.fault("cut_frame", START, "frames", 1, "bytes", 3);

    ByteArrayOutputStream seen = new ByteArrayOutputStream();
    try (Events events = caller.run(made, "echo never seen")) {
      assertThatThrownBy(() -> events.body().transferTo(seen))
          .hasRootCauseInstanceOf(EOFException.class);
    }

    int first = 5 + ByteBuffer.wrap(seen.toByteArray(), 1, 4).getInt();
    // What arrived last may be dropped by the client, which sees the end at the same moment.
    assertThat(seen.size()).isBetween(first, first + 3);
  }

  @Test
  void streamIsCutInTheMiddleOfItsLife() throws Exception {
    Made made = caller.create();
    try (Events events = caller.run(made, "sleep 60")) {
      assertThat(events.pid()).isPositive();

      assertThat(peer.fault("cut_now", START).path("cut").asInt()).isEqualTo(1);

      assertThatThrownBy(events::next).isInstanceOf(IOException.class);
    }
    assertThat(new String(caller.call(made, "/process.Process/List", "{}").body(), UTF_8))
        .contains("sleep 60");
  }

  @Test
  void messagesComeTwiceOrChangePlaces() throws Exception {
    Made made = caller.create();
    peer.fault("duplicate", START, "frame", 1);
    peer.fault("swap", START, "frame", 1);

    assertThat(kinds(caller.run(made, "echo a"))).containsExactly("start", "data", "data", "end");
    assertThat(kinds(caller.run(made, "echo a"))).containsExactly("start", "end", "data");
  }

  private int status(String method, String path, String body)
      throws IOException, InterruptedException {
    return caller.control(method, path, body).statusCode();
  }

  private static List<String> ids(HttpResponse<String> list) throws IOException {
    return JSON.readTree(list.body()).findValuesAsText("sandboxID");
  }

  private static List<String> kinds(Events events) throws IOException {
    return events.rest().stream().map(event -> event.fieldNames().next()).toList();
  }
}
