package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.server.HttpCaller.ServerSentEvent;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Executions as server-sent events: whole, in order, and going on where a reader left. */
class SseTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_EXECUTION_JOURNAL_SIZE", "64 KiB",
              "SANDKEEPER_EXECUTION_HEARTBEAT_INTERVAL", "200 ms"));

  private final HttpCaller caller = new HttpCaller(server);
  private final Caller runner = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = runner.create().getSandboxId();
  }

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"/v1", "/api/v1"})
  void anExecutionIsStreamed(String root) {
    Answer answer =
        caller.post(
            root + "/sandboxes/" + sandbox + "/execute",
            "{\"code\": {\"language\": \"LANGUAGE_PYTHON\", \"source\": \"print(6 * 7)\\n7\"}}");

    assertThat(answer.status()).as("%s", answer.text()).isEqualTo(200);
    assertThat(answer.header("content-type")).startsWith("text/event-stream");
    assertThat(answer.header("cache-control")).isEqualTo("no-store");
    assertThat(answer.header("x-accel-buffering")).isEqualTo("no");
    List<ServerSentEvent> events = HttpCaller.events(answer.text());
    assertThat(events)
        .extracting(ServerSentEvent::event)
        .containsExactly("started", "stdout", "result", "finished");
    assertThat(events).extracting(ServerSentEvent::id).containsExactly("1", "2", "3", "4");
    assertThat(stdout(events)).isEqualTo("42\n");
    assertThat(events.getLast().json().at("/finished/exitCode").asInt(-1)).isZero();
    assertThat(events.getFirst().json().at("/sequence").asText()).isEqualTo("1");
  }

  @Test
  void aTraceGoesOnIntoTheProgram() {
    String trace = "0af7651916cd43dd8448eb211c80319c";
    Answer answer =
        caller.send(
            "POST",
            "/v1/sandboxes/" + sandbox + "/execute",
            BodyPublishers.ofString(shell("echo $TRACEPARENT")),
            "content-type",
            "application/json",
            "traceparent",
            "00-" + trace + "-b7ad6b7169203331-01");

    assertThat(stdout(HttpCaller.events(answer.text()))).startsWith("00-" + trace + "-");
  }

  @Test
  void anErrorOfTheCodeIsAnEvent() {
    List<ServerSentEvent> events =
        HttpCaller.events(
            execute("{\"code\": {\"language\": \"LANGUAGE_PYTHON\", \"source\": \"1/0\"}}").text());

    assertThat(events)
        .extracting(ServerSentEvent::event)
        .containsExactly("started", "error", "finished");
    assertThat(events.get(1).json().at("/error/name").asText()).isEqualTo("ZeroDivisionError");
  }

  @Test
  void aRepeatedRequestIsTheSameExecution() {
    String body =
        "{\"requestId\": \"%s\", \"command\": {\"shell\": \"echo once\"}}"
            .formatted(UUID.randomUUID());

    assertThat(execute(body).text()).isEqualTo(execute(body).text());
  }

  @Test
  void aReaderGoesOnBehindTheLastEventItHad() {
    List<ServerSentEvent> all =
        HttpCaller.events(execute(shell("echo one; sleep 0.1; echo two >&2")).text());
    String events = "/v1/executions/" + executionId(all) + "/events";

    assertThat(HttpCaller.events(caller.get(events).text())).isEqualTo(all);
    assertThat(HttpCaller.events(caller.get("/api" + events).text())).isEqualTo(all);
    assertThat(HttpCaller.events(caller.get(events + "?after=2").text()))
        .isEqualTo(all.subList(2, all.size()));
    assertThat(HttpCaller.events(caller.get(events, "last-event-id", "3").text()))
        .isEqualTo(all.subList(3, all.size()));
    // The browser sends the header along with the path it first had.
    assertThat(HttpCaller.events(caller.get(events + "?after=1", "last-event-id", "3").text()))
        .isEqualTo(all.subList(3, all.size()));
  }

  @Test
  void aBrowserIsToldToStop() {
    List<ServerSentEvent> all = HttpCaller.events(execute(shell("true")).text());

    Answer again =
        caller.get(
            "/v1/executions/" + executionId(all) + "/events",
            "last-event-id",
            all.getLast().id(),
            "accept",
            "text/event-stream");

    assertThat(again.status()).isEqualTo(204);
    assertThat(again.bytes()).isEmpty();
  }

  @Test
  void aStreamIsOpenBeforeAnythingHappensAndShowsThatItIsAlive() throws Exception {
    String execution = start("echo begun; read line <gate; echo over");
    HttpResponse<InputStream> stream =
        caller.open(caller.request("/v1/executions/" + execution + "/events?after=2").GET());

    assertThat(stream.statusCode()).isEqualTo(200);
    try (BufferedReader lines = reader(stream)) {
      assertThat(lines.readLine()).isEqualTo(": heartbeat");
      var _ = runner.shell(sandbox, "echo go >gate");
      assertThat(lines.lines().toList()).contains("event: stdout", "event: finished");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"x", "-1", "1.0", "9999999999999999999", "0x1"})
  void aBadLastEventIdIsNamed(String value) {
    Answer answer =
        caller.get("/v1/executions/" + "a".repeat(20) + "/events", "last-event-id", value);

    assertThat(answer.status()).isEqualTo(400);
    assertThat(answer.reason()).isEqualTo("INVALID_FIELD");
    assertThat(answer.text()).contains("\"field\":\"last-event-id\"");
  }

  @Test
  void whatCannotBeStreamedIsAnOrdinaryAnswer() {
    Answer noExecution = caller.get("/v1/executions/" + "a".repeat(20) + "/events");
    assertThat(noExecution.status()).isEqualTo(404);
    assertThat(noExecution.reason()).isEqualTo("EXECUTION_NOT_FOUND");

    Answer noSandbox = caller.post("/v1/sandboxes/" + "a".repeat(20) + "/execute", shell("true"));
    assertThat(noSandbox.status()).isEqualTo(404);
    assertThat(noSandbox.reason()).isEqualTo("SANDBOX_NOT_FOUND");

    Answer nothing = execute("{}");
    assertThat(nothing.status()).isEqualTo(400);
    assertThat(nothing.text()).contains("\"field\":\"run\"");

    Answer twice = execute("{\"sandboxId\": \"%s\"}".formatted(sandbox));
    assertThat(twice.text()).contains("\"field\":\"sandbox_id\"");

    var _ = runner.terminate(sandbox);
    Answer ended = execute(shell("true"));
    assertThat(ended.status()).isEqualTo(400);
    assertThat(ended.reason()).isEqualTo("SANDBOX_NOT_RUNNING");
  }

  @Test
  void anotherTenantsExecutionIsNotThere() {
    List<ServerSentEvent> all = HttpCaller.events(execute(shell("true")).text());
    Answer answer =
        caller.send(
            caller
                .anonymous("/v1/executions/" + executionId(all) + "/events")
                .header("authorization", "Bearer " + server.stranger().secret())
                .GET());

    assertThat(answer.status()).isEqualTo(404);
  }

  /** Many times what the journal and all buffers between hold. */
  private static final String MUCH =
      "for i in $(seq 300); do head -c 100000 /dev/zero; echo $i >progress; done; touch done";

  @Test
  void aSlowReaderHoldsTheProgramBackAndLosesNothing() throws Exception {
    HttpResponse<InputStream> stream = open(shell(MUCH));
    try (BufferedReader lines = reader(stream)) {
      assertThat(lines.readLine()).isEqualTo("id: 1");
      // Nothing more is read until the program has stood still for a while.
      String stuck = standstill();
      assertThat(Integer.parseInt(stuck)).isLessThan(200);
      assertThat(progress()).isEqualTo(stuck);

      long bytes = 0;
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        if (line.startsWith("data: ") && line.contains("\"stdout\"")) {
          ServerSentEvent event = new ServerSentEvent("", "", line.substring("data: ".length()));
          assertThat(event.json().at("/stdout/offset").asLong()).isEqualTo(bytes);
          bytes += data(event).length;
        }
      }
      assertThat(bytes).isEqualTo(30_000_000);
    }
    assertThat(isDone()).isTrue();
  }

  @Test
  void whoGoesAwayReleasesTheProgram() throws Exception {
    HttpResponse<InputStream> stream = open(shell(MUCH));
    BufferedReader lines = reader(stream);
    String execution = firstExecutionId(lines);

    lines.close();

    await().until(this::isDone);
    // What was not read in time is gone: an ordinary answer says so, with the first event kept.
    Answer gone = caller.get("/v1/executions/" + execution + "/events?after=1");
    assertThat(gone.status()).isEqualTo(400);
    assertThat(gone.reason()).isEqualTo("SEQUENCE_NOT_KEPT");
    assertThat(gone.text()).contains("firstKeptSequence");
  }

  @Test
  void whatFailsInMidStreamIsTheLastEvent() throws Exception {
    String execution = start("echo begun; read line <gate; " + MUCH);
    HttpResponse<InputStream> stream =
        caller.open(caller.request("/v1/executions/" + execution + "/events").GET());
    try (BufferedReader lines = reader(stream)) {
      assertThat(lines.readLine()).isEqualTo("id: 1");
      // It reads nothing while far more is written than is kept.
      var _ = runner.shell(sandbox, "echo go >gate");
      await().until(this::isDone);

      List<ServerSentEvent> events = HttpCaller.events(String.join("\n", lines.lines().toList()));
      ServerSentEvent last = events.getLast();
      assertThat(last.event()).isEqualTo("failure");
      assertThat(last.id()).isEmpty();
      assertThat(last.json().at("/code").asInt()).isEqualTo(11);
      assertThat(last.json().at("/details/0/reason").asText()).isEqualTo("SEQUENCE_NOT_KEPT");
    }
  }

  /** Starts what first prints something, goes away from it, and returns its id. */
  private String start(String line) throws IOException {
    var _ = runner.shell(sandbox, "mkfifo gate");
    try (BufferedReader lines = reader(open(shell(line)))) {
      String execution = firstExecutionId(lines);
      assertThat(lines.lines().anyMatch(next -> next.equals("event: stdout"))).isTrue();
      return execution;
    }
  }

  private static String firstExecutionId(BufferedReader lines) {
    String started = lines.lines().filter(line -> line.startsWith("data: ")).findFirst().get();
    return new ServerSentEvent("", "", started.substring("data: ".length()))
        .json()
        .at("/started/executionId")
        .asText();
  }

  private Answer execute(String body) {
    return caller.post("/v1/sandboxes/" + sandbox + "/execute", body);
  }

  private HttpResponse<InputStream> open(String body) {
    return caller.open(
        caller
            .request("/v1/sandboxes/" + sandbox + "/execute", "content-type", "application/json")
            .POST(BodyPublishers.ofString(body)));
  }

  private static String shell(String line) {
    return "{\"command\": {\"shell\": \"%s\"}}".formatted(line);
  }

  private static BufferedReader reader(HttpResponse<InputStream> stream) {
    return new BufferedReader(new InputStreamReader(stream.body(), StandardCharsets.UTF_8));
  }

  private static String executionId(List<ServerSentEvent> events) {
    return events.getFirst().json().at("/started/executionId").asText();
  }

  private static String stdout(List<ServerSentEvent> events) {
    StringBuilder text = new StringBuilder();
    events.stream()
        .filter(event -> event.event().equals("stdout"))
        .forEach(event -> text.append(new String(data(event), StandardCharsets.UTF_8)));
    return text.toString();
  }

  private static byte[] data(ServerSentEvent event) {
    return Base64.getDecoder().decode(event.json().at("/stdout/data").asText());
  }

  /** Returns how far the program is once it has not moved between two looks. */
  private String standstill() {
    String[] last = {""};
    return await()
        .pollInterval(java.time.Duration.ofMillis(500))
        .until(
            this::progress,
            now -> {
              boolean same = !now.isEmpty() && now.equals(last[0]);
              last[0] = now;
              return same;
            });
  }

  private String progress() {
    return Caller.stdout(runner.shell(sandbox, "cat progress 2>/dev/null")).strip();
  }

  private boolean isDone() {
    return Caller.stdout(runner.shell(sandbox, "ls")).contains("done");
  }
}
