package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

// Goal: what stands on the wire, and which failures are tried again. Method: a server that answers
// as the test says, the last answer again and again.
@Timeout(120)
final class ControlApiTest {
  private static final String KEY = "e2b_00c0ffee00";
  private static final String SESSION =
      """
      {"templateID":"t1","sandboxID":"i1","clientID":"x","envdVersion":"0.6.13","new":{"a":1},
       "envdAccessToken":"tok","trafficAccessToken":null,"domain":null}
      """;
  private static final String LISTED =
      """
      {"templateID":"t1","sandboxID":"%s","clientID":"x","startedAt":"2026-11-29T10:00:00.5Z",
       "endAt":"2026-11-29T10:05:00+01:00","cpuCount":2,"memoryMB":512,"diskSizeMB":10240,
       "state":"%s","envdVersion":"0.6.13","metadata":{"k":"v"}}
      """;
  private static final String LABELLED =
      LISTED.replace("{\"k\":\"v\"}", "{\"a\":\"b c\",\"d\":\"&\"}");
  private static final NewSandbox SANDBOX =
      new NewSandbox(
          "base", Duration.ofMinutes(5), Map.of("k", "v"), Map.of("A", "b"), false, false, true);

  /** The calls that may be made twice. */
  private static final Map<String, Consumer<ControlApi>> REPEATABLE =
      Map.of(
          "connect", api -> api.connect("i1", Duration.ofSeconds(5)),
          "list", api -> api.list(Map.of()),
          "find", api -> api.find("i1"),
          "kill", api -> api.kill("i1"),
          "pause", api -> api.pause("i1"),
          "timeout", api -> api.timeout("i1", Duration.ofSeconds(5)),
          "events", api -> api.events("i1"));

  private final Deque<byte[]> answers = new ArrayDeque<>();
  private final HttpCalls http = new HttpCalls(Duration.ofSeconds(2));
  private StubServer server;
  private ControlApi api;

  @BeforeEach
  void start() throws IOException {
    server =
        new StubServer((_, out) -> {
          synchronized (answers) {
            out.write(answers.size() > 1 ? answers.removeFirst() : answers.getFirst());
          }
        });
    api = api(server.uri(), Duration.ofSeconds(20));
  }

  private ControlApi api(URI uri, Duration whole) {
    return api(uri, whole, KEY);
  }

  private ControlApi api(URI uri, Duration whole, String key) {
    E2bSettings.Calls calls =
        new E2bSettings.Calls(
            Duration.ofSeconds(2),
            Duration.ofSeconds(5),
            whole,
            3,
            Duration.ofMillis(10),
            Duration.ofMillis(40));
    E2bSettings settings =
        new E2bSettings(uri, "e2b.app", Optional.empty(), calls, E2bSettings.LinkTimes.DEFAULT);
    return new ControlApi(settings, http, () -> key, new Random(1));
  }

  @AfterEach
  void stop() throws IOException {
    http.close();
    server.close();
  }

  private void answer(int status, String body, String... headers) {
    answers.add(StubServer.answer(status, body, headers));
  }

  private static E2bException failure(ThrowingCallable call) {
    E2bException failure = catchThrowableOfType(E2bException.class, call);
    assertThat(failure).isNotNull();
    return failure;
  }

  @Test
  void createSendsAllThatASandboxNeeds() throws Exception {
    answer(201, SESSION);

    Session session = api.create(SANDBOX);

    assertThat(session)
        .isEqualTo(
            new Session(
                "i1",
                "t1",
                "0.6.13",
                Optional.of("tok"),
                Optional.empty(),
                Optional.empty(),
                false));
    StubServer.Request request = server.requests().getFirst();
    assertThat(request.method() + " " + request.target()).isEqualTo("POST /sandboxes");
    assertThat(request.headers())
        .containsEntry("x-api-key", KEY)
        .containsEntry("content-type", "application/json");
    assertThat(Json.parse(request.body()))
        .isEqualTo(
            Json.parse(
                """
                {"templateID":"base","timeout":300,"secure":true,"autoPause":true,
                 "allow_internet_access":false,"network":{"allowPublicTraffic":false},
                 "metadata":{"k":"v"},"envVars":{"A":"b"}}
                """
                    .getBytes(UTF_8)));
  }

  @Test
  void connectTellsWhetherItWasPaused() {
    answer(200, SESSION);
    answer(201, SESSION);

    assertThat(api.connect("i1", Duration.ofSeconds(60)).resumed()).isFalse();
    assertThat(api.connect("i1", Duration.ofSeconds(60)).resumed()).isTrue();
    assertThat(server.requests().getFirst().target()).isEqualTo("/sandboxes/i1/connect");
    assertThat(server.requests().getFirst().text()).isEqualTo("{\"timeout\":60}");
  }

  @Test
  void listReadsAllPages() {
    answer(200, "[" + LABELLED.formatted("i1", "running") + "]", "X-Next-Token: p/2=");
    answer(200, "[" + LABELLED.formatted("i2", "paused") + "]");

    List<RemoteSandbox> found = api.list(Map.of("a", "b c", "d", "&"));

    assertThat(found).extracting(RemoteSandbox::sandboxId).containsExactly("i1", "i2");
    assertThat(found.getLast().state()).isEqualTo(RemoteSandbox.State.PAUSED);
    assertThat(found.getFirst().startedAt()).isEqualTo(Instant.parse("2026-11-29T10:00:00.5Z"));
    assertThat(found.getFirst().endAt()).isEqualTo(Instant.parse("2026-11-29T09:05:00Z"));
    assertThat(found.getFirst().metadata()).isEqualTo(Map.of("a", "b c", "d", "&"));
    String query =
        "/v2/sandboxes?state=running%2Cpaused&limit=100&metadata=a%3Db%252520c%26d%3D%252526";
    assertThat(server.requests())
        .extracting(StubServer.Request::target)
        .containsExactly(query, query + "&nextToken=p%2F2%3D");
  }

  @Test
  void whatDoesNotHaveTheMetadataIsNotListedThoughE2bListsIt() {
    answer(
        200,
        "["
            + LISTED.formatted("i1", "running").replace("\"v\"", "\"w\"")
            + ","
            + LISTED.formatted("i2", "running")
            + "]");

    assertThat(api.list(Map.of("k", "v")))
        .extracting(RemoteSandbox::sandboxId)
        .containsExactly("i2");
    assertThat(api.list(Map.of("k", "v", "other", "v"))).isEmpty();
    assertThat(api.list(Map.of())).hasSize(2);
  }

  @Test
  void allPagesAreOneCall() throws IOException {
    StubServer.Handler endless =
        (_, out) -> {
          LockSupport.parkNanos(Duration.ofMillis(20).toNanos());
          out.write(StubServer.answer(200, "[]", "X-Next-Token: again"));
        };
    try (StubServer slow = new StubServer(endless)) {
      long begin = System.nanoTime();

      E2bException failure = failure(() -> api(slow.uri(), Duration.ofMillis(500)).list(Map.of()));

      assertThat(failure.kind()).isEqualTo(E2bException.Kind.BROKEN);
      assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(5));
    }
  }

  @Test
  void whatIsSaidOfAnotherSandboxIsNotTaken() {
    answer(200, LISTED.formatted("i2", "running"));
    assertThat(failure(() -> api.find("i1")))
        .hasMessage("GET /sandboxes/i1: the answer's sandboxID: that of another (expected: i1)");
    answers.clear();
    answer(200, SESSION);
    assertThat(failure(() -> api.connect("i2", Duration.ofSeconds(5))).mayBeDone()).isTrue();
    answers.clear();
    answer(201, SESSION.replace("i1", "../i1"));
    assertThat(failure(() -> api.create(SANDBOX)).mayBeDone()).isTrue();
  }

  @Test
  void theRestOfTheCallsAreAsDocumented() {
    answer(204, "");
    assertThat(api.kill("i1")).isTrue();
    assertThat(api.pause("i1")).isTrue();
    api.timeout("i1", Duration.ofSeconds(90));
    answers.clear();
    answer(
        200,
        """
        [{"id":"e1","type":"sandbox.lifecycle.killed","sandboxId":"i1","version":"v2",
          "timestamp":"2026-11-29T10:00:00Z","eventData":{"sandbox_metadata":{"k":"v"},
          "execution":{"execution_time":1500},"kill_reason":"timeout"}}]
        """);
    assertThat(api.events("i1"))
        .containsExactly(
            new LifecycleEvent(
                "e1",
                "sandbox.lifecycle.killed",
                "i1",
                Instant.parse("2026-11-29T10:00:00Z"),
                Map.of("k", "v"),
                Optional.of(Duration.ofMillis(1500)),
                Optional.of("timeout")));

    assertThat(server.requests())
        .extracting(request -> request.method() + " " + request.target() + " " + request.text())
        .containsExactly(
            "DELETE /sandboxes/i1 ",
            "POST /sandboxes/i1/pause {}",
            "POST /sandboxes/i1/timeout {\"timeout\":90}",
            "GET /events/sandboxes/i1?offset=0&limit=100&orderAsc=true ");
  }

  @Test
  void whatIsNotThereIsNoFailure() {
    answer(404, "{\"code\":404,\"message\":\"sandbox not found\"}");

    assertThat(api.kill("i1")).isFalse();
    assertThat(api.find("i1")).isEmpty();
    assertThat(server.requests()).hasSize(2);
  }

  @Test
  void pauseOfAPausedOneIsNoFailure() {
    answer(409, "{\"code\":409,\"message\":\"Sandbox 'i1' is already paused\"}");
    answer(409, "{\"code\":409,\"message\":\"The sandbox is still transitioning.\"}");

    assertThat(api.pause("i1")).isFalse();
    assertThat(failure(() -> api.pause("i1")).kind()).isEqualTo(E2bException.Kind.CONFLICT);
  }

  @ParameterizedTest
  @CsvSource({
    "400, REFUSED, 1, false",
    "401, UNAUTHENTICATED, 1, false",
    "402, UNAUTHENTICATED, 1, false",
    "403, UNAUTHENTICATED, 1, false",
    "404, NOT_FOUND, 1, false",
    "409, CONFLICT, 1, false",
    "429, RATE_LIMITED, 3, false",
    "500, UNAVAILABLE, 1, true",
    "502, UNAVAILABLE, 1, true",
    "503, UNAVAILABLE, 3, false",
    "504, UNAVAILABLE, 1, true",
    "507, UNAVAILABLE, 1, true"
  })
  void createIsTriedAgainOnlyWhenNothingWasMade(
      int status, E2bException.Kind kind, int tries, boolean mayBeDone) {
    answer(status, "{\"code\":1,\"message\":\"not now\",\"error_code\":\"the_code\"}");

    E2bException failure = failure(() -> api.create(SANDBOX));

    assertThat(failure.kind()).isEqualTo(kind);
    assertThat(failure.status()).isEqualTo(status);
    assertThat(failure.errorCode()).isEqualTo("the_code");
    assertThat(failure.mayBeDone()).isEqualTo(mayBeDone);
    assertThat(failure).hasMessage("POST /sandboxes: " + status + " not now");
    assertThat(server.requests()).hasSize(tries);
  }

  static Stream<Arguments> statusesOfEveryCall() {
    Map<Integer, E2bException.Kind> kinds =
        Map.of(
            400, E2bException.Kind.REFUSED,
            401, E2bException.Kind.UNAUTHENTICATED,
            403, E2bException.Kind.UNAUTHENTICATED,
            404, E2bException.Kind.NOT_FOUND,
            409, E2bException.Kind.CONFLICT,
            429, E2bException.Kind.RATE_LIMITED,
            500, E2bException.Kind.UNAVAILABLE,
            502, E2bException.Kind.UNAVAILABLE,
            503, E2bException.Kind.UNAVAILABLE);
    return REPEATABLE.keySet().stream()
        .flatMap(call ->
            kinds.entrySet().stream()
                .filter(kind ->
                    kind.getKey() != 404 || !Set.of("events", "find", "kill").contains(call))
                .map(kind -> Arguments.of(call, kind.getKey(), kind.getValue())));
  }

  @ParameterizedTest
  @MethodSource("statusesOfEveryCall")
  void whatMayBeAskedTwiceIsTriedAgainWhenItMayPass(
      String call, int status, E2bException.Kind kind) {
    answer(status, "{\"code\":1,\"message\":\"not now\"}");

    E2bException failure = failure(() -> Objects.requireNonNull(REPEATABLE.get(call)).accept(api));

    assertThat(failure.kind()).isEqualTo(kind);
    assertThat(failure.status()).isEqualTo(status);
    assertThat(failure).hasMessageEndingWith(": " + status + " not now");
    assertThat(server.requests()).hasSize(status == 429 || status >= 500 ? 3 : 1);
  }

  @Test
  void aPassingFailureIsOvercome() {
    answer(503, "{\"code\":503,\"message\":\"busy\",\"error_code\":\"sandbox_placement_timeout\"}");
    answer(429, "{\"code\":429,\"message\":\"Rate limit exceeded\"}", "Retry-After: 0");
    answer(201, SESSION);

    assertThat(api.create(SANDBOX).sandboxId()).isEqualTo("i1");
    assertThat(server.requests()).hasSize(3);
  }

  @Test
  void theLimitOfSandboxesIsNotARate() {
    answer(
        429,
        "{\"code\":429,\"message\":\"you have reached the maximum number of concurrent E2B"
            + " sandboxes (20).\"}");

    E2bException failure = failure(() -> api.create(SANDBOX));

    assertThat(failure.kind()).isEqualTo(E2bException.Kind.CAPACITY);
    assertThat(server.requests()).hasSize(1);
  }

  @Test
  void retryAfterIsKeptToUnlessTheCallIsOverBefore() {
    answer(429, "{\"code\":429,\"message\":\"Rate limit exceeded\"}", "Retry-After: 3");
    answer(204, "");

    E2bException failure =
        failure(() -> api.within(Duration.ofSeconds(2)).timeout("i1", Duration.ofSeconds(5)));

    assertThat(failure.retryAfter()).contains(Duration.ofSeconds(3));
    assertThat(server.requests()).hasSize(1);

    answers.addFirst(
        StubServer.answer(429, "{\"code\":429,\"message\":\"Rate\"}", "Retry-After: 1"));
    long begin = System.nanoTime();
    api.timeout("i1", Duration.ofSeconds(5));
    assertThat(Duration.ofNanos(System.nanoTime() - begin)).isGreaterThan(Duration.ofSeconds(1));
  }

  // What E2B keeps a sandbox for it counts from when it takes the request.
  @ParameterizedTest
  @ValueSource(strings = {"create", "connect", "timeout"})
  void aFurtherTryAsksForWhatIsLeftOfTheTime(String call) throws Exception {
    answer(429, "{\"code\":429,\"message\":\"Rate\"}", "Retry-After: 3");
    answer(201, SESSION);
    Duration paid = Duration.ofSeconds(5);

    switch (call) {
      case "create" ->
          api.create(new NewSandbox("base", paid, Map.of(), Map.of(), false, false, false));
      case "connect" -> api.connect("i1", paid);
      default -> api.timeout("i1", paid);
    }

    List<Long> asked = new ArrayList<>();
    for (StubServer.Request request : server.requests()) {
      asked.add(Json.number(Json.parse(request.body()), "timeout"));
    }
    assertThat(asked).containsExactly(5L, 2L);
  }

  @Test
  void aTryThatWouldComeTooLateIsNotMade() {
    answer(429, "{\"code\":429,\"message\":\"Rate\"}", "Retry-After: 2");

    E2bException failure = failure(() -> api.timeout("i1", Duration.ofSeconds(1)));

    assertThat(failure.kind()).isEqualTo(E2bException.Kind.REFUSED);
    assertThat(failure.mayBeDone()).isFalse();
    assertThat(server.requests()).hasSize(1);
  }

  @Test
  void aLostAnswerOfCreateIsTold() {
    answers.add(new byte[0]);

    E2bException failure = failure(() -> api.create(SANDBOX));

    assertThat(failure.kind()).isEqualTo(E2bException.Kind.BROKEN);
    assertThat(failure.mayBeDone()).isTrue();
    assertThat(failure.status()).isZero();
    assertThat(server.requests()).hasSize(1);
  }

  @Test
  void aLostAnswerOfWhatMayBeAskedTwiceIsOvercome() {
    answers.add(new byte[0]);
    answer(204, "");

    assertThat(api.kill("i1")).isTrue();
    assertThat(server.requests()).hasSize(2);
  }

  @Test
  void whatWasNeverTakenIsNotDone() throws IOException {
    URI nobody;
    try (ServerSocket socket = new ServerSocket(0)) {
      nobody = URI.create("http://127.0.0.1:" + socket.getLocalPort());
    }

    E2bException failure = failure(() -> api(nobody, Duration.ofSeconds(9)).create(SANDBOX));

    assertThat(failure.kind()).isEqualTo(E2bException.Kind.UNAVAILABLE);
    assertThat(failure.mayBeDone()).isFalse();
  }

  @Test
  void aSilentServerEndsWithTheCallsTime() throws IOException {
    try (StubServer silent = new StubServer(StubServer.Handler.SILENT)) {
      E2bException failure =
          failure(() -> api(silent.uri(), Duration.ofMillis(300)).create(SANDBOX));

      assertThat(failure).hasMessage("POST /sandboxes: no answer in time");
      assertThat(failure.mayBeDone()).isTrue();
    }
  }

  @Test
  void anInterruptEndsTheWaitAndIsKept() throws Exception {
    answer(429, "{\"code\":429,\"message\":\"Rate\"}", "Retry-After: 15");
    Thread caller = Thread.currentThread();
    Thread.ofVirtual()
        .start(() -> {
          while (caller.getState() != Thread.State.TIMED_WAITING || server.requests().isEmpty()) {
            Thread.onSpinWait();
          }
          caller.interrupt();
        });

    assertThat(failure(() -> api.timeout("i1", Duration.ofSeconds(5)))).isNotNull();
    assertThat(Thread.interrupted()).isTrue();
  }

  @Test
  void whatIsMissingInAnAnswerIsNamed() {
    answer(201, "{\"sandboxID\":\"i1\",\"templateID\":\"t1\"}");
    assertThat(failure(() -> api.create(SANDBOX)))
        .hasMessage("POST /sandboxes: the answer's envdVersion: missing (expected: a text)");
    answers.clear();
    answer(201, "<html>");
    assertThat(failure(() -> api.create(SANDBOX)).mayBeDone()).isTrue();
    answers.clear();
    answer(200, "[" + LISTED.formatted("i1", "odd") + "]");
    assertThat(failure(() -> api.list(Map.of())))
        .hasMessage("GET /v2/sandboxes: the answer's state: odd (expected: running or paused)");
  }

  @Test
  void theKeyIsInNoMessage() {
    answer(401, "{\"code\":401,\"message\":\"invalid API key " + KEY + "\"}");

    E2bException failure = failure(() -> api.create(SANDBOX));

    assertThat(failure).hasMessage("POST /sandboxes: 401 invalid API key (hidden)");
  }

  @ParameterizedTest
  @ValueSource(strings = {KEY + "\r", KEY + "\n" + KEY, KEY + " ", "\u00e9" + KEY, ""})
  void whatIsNoKeyIsNeitherSentNorTold(String key) {
    ControlApi other = api(server.uri(), Duration.ofSeconds(20), key);

    E2bException failure = failure(() -> other.create(SANDBOX));

    assertThat(failure.kind()).isEqualTo(E2bException.Kind.UNAUTHENTICATED);
    assertThat(failure).hasMessageContaining("expected").hasNoCause();
    assertThat(failure.getMessage()).doesNotContain("c0ffee");
    assertThat(server.requests()).isEmpty();
  }
}
