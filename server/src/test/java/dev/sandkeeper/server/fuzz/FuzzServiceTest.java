package dev.sandkeeper.server.fuzz;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.TextFormat;
import com.google.protobuf.Timestamp;
import com.google.rpc.BadRequest;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.ServiceConfig;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.VirtualHost;
import dev.sandkeeper.server.Caller;
import dev.sandkeeper.server.Contract;
import dev.sandkeeper.server.PortProgram;
import dev.sandkeeper.server.Refusal;
import dev.sandkeeper.server.RunningServer;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.wire.LogWatch;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListDeliveriesRequest;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.Scope;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.Task;
import io.grpc.Status;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Every rpc and every route of HTTP, with messages that are made from the contract: no answer says
 * that the server has a bug, none fails to come, the books stay right, and nothing is held on to.
 *
 * <p>The same messages each time, but for the ids that the server makes. {@code
 * -Dsandkeeper.fuzz.seed=N} sends others, {@code -Dsandkeeper.fuzz.rounds=N} more, and {@code
 * -Dsandkeeper.fuzz.only=NAME} those to the calls and paths with that in their name.
 */
class FuzzServiceTest {
  private static final Logger logger = LoggerFactory.getLogger(FuzzServiceTest.class);
  private static final long SEED = Long.getLong("sandkeeper.fuzz.seed", 20_261_129L);
  private static final int ROUNDS = Integer.getInteger("sandkeeper.fuzz.rounds", 2);
  private static final int MESSAGES = 14;
  private static final int REQUESTS = 6;
  private static final String ONLY = System.getProperty("sandkeeper.fuzz.only", "");
  private static final int SHOWN = 1000;
  private static final int MAX_FAILURES = 20;

  /** That of the channel, and of those that ask for a metric, which close soon. */
  private static final int OWN_CONNECTIONS = 4;

  /** How the program behind a port names itself. */
  private static final String PROGRAM = "BaseHTTP/";

  private static final Pattern STATUS = Pattern.compile("^HTTP/1\\.1 ([0-9]{3}) ");

  /** The codes UNKNOWN and INTERNAL, as JSON and as a trailer say them. */
  private static final Pattern BUG = Pattern.compile("\\{\"code\":(2|13),|grpc-status: ?(2|13)\\b");

  /** What caches and pools may still take after the first round. */
  private static final long ALLOWED = 40;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_EXECUTION_MAX_KEPT", "8",
              "SANDKEEPER_SERVER_MAX_MESSAGE_SIZE", "1 MiB",
              "SANDKEEPER_PORTS_URL", "http://{port}-{sandbox}." + Route.PORT_DOMAIN,
              "SANDKEEPER_PORTS_IDLE_TIMEOUT", "2 s",
              "SANDKEEPER_ALERTS_ALLOW_PRIVATE_ADDRESSES", "true"));

  @RegisterExtension final LogWatch log = new LogWatch();

  private final List<String> failures = new ArrayList<>();
  private final Known known = new Known();
  private String sandbox = "";

  /** In which sandbox the program listens. */
  private String listening = "";

  @BeforeEach
  void know(TestReporter reporter) {
    reporter.publishEntry("sandkeeper.fuzz.seed", Long.toString(SEED));
    known
        .add("tenant_id", RunningServer.OTHER_TENANT, RunningServer.TENANT, "nobody")
        .add("template", "base", "t-1", "high-memory", "none")
        .add("name", "t-1", "t-2")
        .add("tier", "standard", "gpu")
        .add("path", "file.txt", "dir/file.txt", ".", "/home/user", "/tmp/x", "/proc/self/environ")
        .add("to_path", "moved.txt", "dir/moved.txt")
        .add("patterns", "*.txt", "**/*", "[", "{a,b}*")
        .add("working_directory", "/home/user", "/", "/none")
        .add("shell", "echo hello; cat", "exit 3", "kill -9 $$", "printf '\\377\\0'")
        .add("argv", "echo", "a", "sh")
        .add("source", "print(1)", "1/0", "(", "\u00e9 = '\ud83d\ude00'; print(\u00e9)")
        .add("agent_id", "agent-1", "agent-2")
        .add("zone", "UTC", "Asia/Kathmandu", "Nowhere/At_All")
        .add("model", "m-1", "m-2")
        .add("url", "http://127.0.0.1:9/hook", "http://[::1]:9/", "http://127.0.0.1:9/\u00e9")
        .add("sandbox_id", "a".repeat(20))
        .add(
            "key_id",
            server
                .admin()
                .admin()
                .createApiKey(CreateApiKeyRequest.newBuilder().addScopes(Scope.SCOPE_READ).build())
                .getApiKey()
                .getKeyId());
  }

  @Test
  void everyRpcAnswersWhateverComes() throws Exception {
    watchGrowth(round -> {
      for (MethodDescriptor method : Contract.methods()) {
        if (!isChosen(method.getFullName())) {
          continue;
        }
        prepare();
        Random random = new Random(SEED + 31L * round + method.getFullName().hashCode());
        Messages messages = new Messages(random, known);
        for (int i = 0; i < MESSAGES; i++) {
          call(method, messages, i, random);
        }
      }
    });
  }

  @Test
  void everyRouteOfHttpAnswersWhateverComes() throws Exception {
    watchGrowth(round -> {
      for (Route route : Route.all()) {
        if (!isChosen(route.name())) {
          continue;
        }
        prepare();
        if (route.isOfPort()) {
          listen();
        }
        Random random = new Random(SEED + 31L * round + route.name().hashCode());
        Requests requests =
            new Requests(
                random, new Messages(random, known), server.port(), server.stranger().secret());
        for (int i = 0; i < REQUESTS; i++) {
          send(route.name() + " #" + i, requests.request(route, i));
        }
      }
    });
  }

  @Test
  void noRouteOfTheServerIsForgotten() {
    assertThat(
            server.served().serviceConfigs().stream()
                .filter(config -> !isInherited(config) && !isTried(config)))
        .extracting(config -> config.virtualHost().hostnamePattern() + " " + config.route())
        .isEmpty();
  }

  /** Hosts of ports have the other routes behind their own, where nothing leads to them. */
  private static boolean isInherited(ServiceConfig config) {
    VirtualHost byDefault = server.served().defaultVirtualHost();
    return !config.virtualHost().equals(byDefault)
        && byDefault.serviceConfigs().stream()
            .anyMatch(other -> other.route().equals(config.route()));
  }

  private static boolean isTried(ServiceConfig config) {
    Stream<RequestHeaders> byHttp =
        Route.all().stream()
            .flatMap(route -> Stream.of(route.example(""), route.example(Route.ALIAS)));
    Stream<RequestHeaders> byGrpc =
        Contract.methods().stream()
            .map(method ->
                RequestHeaders.of(
                    HttpMethod.POST,
                    "/" + method.getService().getFullName() + "/" + method.getName()));
    return Stream.concat(byHttp, byGrpc).anyMatch(request -> leadsTo(request, config));
  }

  private static boolean leadsTo(RequestHeaders request, ServiceConfig config) {
    String host = Objects.requireNonNullElse(request.authority(), "127.0.0.1");
    return server.served().findVirtualHost(host, 80).equals(config.virtualHost())
        && config
            .route()
            .apply(ServiceRequestContext.of(HttpRequest.of(request)).routingContext(), false)
            .isPresent();
  }

  // What it found, directly.

  @Test
  void bytesThatAreNoMessageAreInvalid() throws Exception {
    for (String name : List.of("ListSandboxes", "Execute", "WriteFile")) {
      assertThat(code(name, new byte[] {-1, -1})).as(name).isEqualTo(Status.Code.INVALID_ARGUMENT);
    }
  }

  @Test
  void bytesThatAreNoFrameAreInvalid() throws Exception {
    // None of gRPC's, one that is compressed by nothing, and some that end before their end.
    List<String> frames = List.of("{\"a\": 1}", "\u0001\0\0\0\u0001a", "\0\0\0\0\u0009a", "\0\0");
    for (String call : List.of("SandboxService/ListSandboxes", "FileService/WriteFile")) {
      for (String frame : frames) {
        assertThat(post("/sandkeeper.v1." + call, "grpc", "", frame))
            .contains("grpc-status: 3\r\n")
            .doesNotContain("armeria");
      }
    }
  }

  @Test
  void aTimeThatIsNoneIsAWrongField() {
    Timestamp noTime = Timestamp.newBuilder().setSeconds(Long.MIN_VALUE).build();
    assertThat(
            Refusal.ofField(
                "time",
                () ->
                    server
                        .runner()
                        .prices()
                        .getPriceAt(
                            GetPriceAtRequest.newBuilder()
                                .setTier("standard")
                                .setTime(noTime)
                                .build())))
        .contains("expected: a time in the years 1 to 9999");
    Refusal.ofField(
        "tasks[1].deadline",
        () ->
            server
                .runner()
                .executions()
                .runTasks(
                    RunTasksRequest.newBuilder()
                        .addTasks(Task.getDefaultInstance())
                        .addTasks(
                            Task.newBuilder()
                                .setDeadline(
                                    com.google.protobuf.Duration.newBuilder()
                                        .setSeconds(1)
                                        .setNanos(-1)))
                        .build())
                .hasNext());
  }

  @Test
  void whatIsSaidOfAFailureFitsIntoWhatClientsRead() {
    ListSandboxesRequest.Builder wrong = ListSandboxesRequest.newBuilder();
    for (int i = 0; i < 2000; i++) {
      wrong.addStatesValue(99);
    }
    Refusal refusal = Refusal.of(() -> server.runner().sandboxes().listSandboxes(wrong.build()));
    assertThat(refusal.code()).isEqualTo(Status.Code.INVALID_ARGUMENT);
    assertThat(refusal.detail(BadRequest.class).orElseThrow().getFieldViolationsList())
        .last()
        .extracting(BadRequest.FieldViolation::getDescription)
        .isEqualTo("1993 more violations");

    String sandbox = server.runner().create().getSandboxId();
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.FILE_NOT_FOUND,
        () ->
            server
                .runner()
                .files()
                .stat(
                    StatRequest.newBuilder()
                        .setSandboxId(sandbox)
                        .setPath("a/".repeat(2040))
                        .build()));
  }

  @Test
  void aPageTokenOfAnotherListIsRefused() {
    Caller caller = server.stranger();
    var _ = caller.create();
    String token =
        caller
            .audit()
            .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1).build())
            .getNextPageToken();
    assertThat(token).isNotEmpty();
    Refusal.ofField(
        "page_token",
        () ->
            caller
                .webhooks()
                .listDeliveries(ListDeliveriesRequest.newBuilder().setPageToken(token).build()));
  }

  @Test
  void aMessageThatIsTooLargeIsRefusedAsSuch() throws Exception {
    for (String name : List.of("ListSandboxes", "Execute", "WriteFile")) {
      assertThat(code(name, new byte[(1 << 20) + 1]))
          .as(name)
          .isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    }
  }

  @Test
  void jsonThatIsNestedTooDeepIsRefused() throws Exception {
    assertThat(post("", "{\"a\":".repeat(3000)))
        .startsWith("HTTP/1.1 400 ")
        .contains("nested too deep");
  }

  @Test
  void aTimeoutThatIsNoneIsRefused() throws Exception {
    for (String value : List.of("-1S", "1", "123456789S", "1h", "")) {
      assertThat(post("grpc-timeout: " + value + "\r\n", "{}"))
          .as(value)
          .startsWith("HTTP/1.1 400 ")
          .contains("grpc-timeout");
    }
  }

  private static String post(String headers, String body) throws IOException {
    return post("/v1/sandboxes", "json", headers, body);
  }

  private static String post(String path, String type, String headers, String body)
      throws IOException {
    return RawHttp.send(
        server.port(),
        ("POST "
                + path
                + " HTTP/1.1\r\nhost: h\r\ncontent-type: application/"
                + type
                + "\r\n"
                + headers
                + "authorization: Bearer "
                + server.runner().secret()
                + "\r\ncontent-length: "
                + body.length()
                + "\r\n\r\n"
                + body)
            .getBytes(StandardCharsets.US_ASCII));
  }

  /** Makes a call that must end, with details unless it is good. */
  private Status.Code code(String name, byte[] message) throws InterruptedException {
    MethodDescriptor method =
        Contract.methods().stream()
            .filter(found -> found.getName().equals(name))
            .findFirst()
            .orElseThrow();
    RawCalls.Outcome outcome =
        RawCalls.call(server.runner().channel(), method, List.of(message), known);
    check(name, outcome);
    assertThat(failures).isEmpty();
    return ((RawCalls.Ended) outcome).status().getCode();
  }

  private void send(String what, byte[] request) {
    String shown = what + " " + new String(request, StandardCharsets.ISO_8859_1);
    try {
      String answer = RawHttp.send(server.port(), request);
      Matcher status = STATUS.matcher(answer);
      if (!status.find()) {
        fail("no answer: " + answer, shown);
      } else if (status.group(1).equals("500") || BUG.matcher(answer).find()) {
        fail(answer, shown);
      } else if (status.group(1).startsWith("4")
          && !shown.contains("HEAD ")
          && (shown.contains("/v1/") || what.contains(Route.PORT_DOMAIN))
          && !answer.contains("server: " + PROGRAM)
          && !answer.contains("google.rpc.ErrorInfo")
          && !answer.contains("grpc-status")) {
        fail("no details: " + answer, shown);
      }
    } catch (IOException e) {
      fail(e.toString(), shown);
    }
  }

  private void call(MethodDescriptor method, Messages messages, int index, Random random) {
    List<byte[]> requests = new ArrayList<>();
    StringBuilder shown = new StringBuilder();
    int count = method.isClientStreaming() ? random.nextInt(4) : 1;
    for (int i = 0; i < count; i++) {
      DynamicMessage message =
          index % 3 == 0
              ? messages.plausible(method.getInputType())
              : messages.hostile(method.getInputType());
      byte[] bytes = message.toByteArray();
      if (index % 7 == 6) {
        bytes = messages.garble(bytes);
        shown.append(HexFormat.of().formatHex(bytes)).append('\n');
      } else {
        shown.append(
            TextFormat.printer()
                .emittingSingleLine(true)
                .escapingNonAscii(true)
                .printToString(message));
      }
      requests.add(bytes);
    }
    try {
      check(
          method.getFullName() + " #" + index + " " + shown,
          RawCalls.call(server.stranger().channel(), method, requests, known));
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private void check(String what, RawCalls.Outcome outcome) {
    switch (outcome) {
      case RawCalls.Open _ -> {}
      case RawCalls.Hung _ -> fail("nothing came", what);
      case RawCalls.Ended ended -> {
        switch (ended.status().getCode()) {
          case INTERNAL, UNKNOWN, DATA_LOSS, UNIMPLEMENTED, UNAUTHENTICATED ->
              fail(ended.status().toString(), what);
          default -> {
            if (!ended.status().isOk()
                && ended.status().getCode() != Status.Code.CANCELLED
                && !ended.trailers().containsKey(RawCalls.DETAILS)) {
              fail("no details: " + ended.status(), what);
            }
          }
        }
      }
    }
  }

  private static boolean isChosen(String name) {
    return name.contains(ONLY);
  }

  private void fail(String how, String what) {
    String failure = cut(how) + ": " + cut(what);
    logger.warn("Seed {}: {}", SEED, failure);
    failures.add(failure);
    if (failures.size() >= MAX_FAILURES) {
      throw new AssertionError("seed " + SEED + ", and enough: " + failures);
    }
  }

  private static String cut(String text) {
    return text.substring(0, Math.min(text.length(), SHOWN));
  }

  /** Does the same again and again, and compares what is held on to after it. */
  private void watchGrowth(Consumer<Integer> work) {
    work.accept(0);
    Growth before = settle();
    for (int round = 1; round < ROUNDS; round++) {
      work.accept(round);
    }
    assertThat(failures).as("seed %s", SEED).isEmpty();
    // Timers hold what is over for as long as a request may take.
    await()
        .atMost(Duration.ofMinutes(3))
        .pollInterval(Duration.ofSeconds(1))
        .untilAsserted(
            () -> assertThat(settle().since(before, ALLOWED)).as("seed %s", SEED).isEmpty());
  }

  private Growth settle() {
    endSandboxes();
    await()
        .atMost(Duration.ofSeconds(30))
        .until(() ->
            server.metric("sandkeeper_stream_active") == 0
                && server.metric("sandkeeper_port_connection_active") == 0
                && server.metric("sandkeeper_connection_active") <= OWN_CONNECTIONS);
    return Growth.now();
  }

  /**
   * Has a sandbox run, and no limit and nothing else that earlier messages left stand in the way.
   */
  private void prepare() {
    Caller caller = server.stranger();
    for (Limit limit :
        caller.quotas().listLimits(ListLimitsRequest.getDefaultInstance()).getLimitsList()) {
      var _ =
          caller
              .quotas()
              .deleteLimit(DeleteLimitRequest.newBuilder().setLimitId(limit.getLimitId()).build());
    }
    List<String> live = live();
    if (!live.contains(sandbox)) {
      endSandboxes();
      sandbox = caller.create(request -> request.setTemplate("base")).getSandboxId();
      known.prefer("sandbox_id", sandbox);
    } else if (live.size() > 8) {
      live.stream().filter(other -> !other.equals(sandbox)).forEach(caller::terminate);
    }
  }

  private void listen() {
    if (!listening.equals(sandbox)) {
      PortProgram.listen(server.stranger(), sandbox, "127.0.0.1", Route.PORT);
      listening = sandbox;
    }
  }

  private static void endSandboxes() {
    live().forEach(server.stranger()::terminate);
  }

  private static List<String> live() {
    return server
        .stranger()
        .sandboxes()
        .listSandboxes(
            ListSandboxesRequest.newBuilder()
                .addStates(SandboxState.SANDBOX_STATE_RUNNING)
                .addStates(SandboxState.SANDBOX_STATE_PAUSED)
                .setPageSize(1000)
                .build())
        .getSandboxesList()
        .stream()
        .map(Sandbox::getSandboxId)
        .toList();
  }
}
