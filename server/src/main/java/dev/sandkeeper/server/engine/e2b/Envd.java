package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.linecorp.armeria.client.RequestOptions;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpRequestWriter;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.QueryParams;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.RequestHeadersBuilder;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.SplitHttpResponse;
import com.linecorp.armeria.common.stream.ByteStreamMessage;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * The daemon in one sandbox: starts processes, and carries what they read and write. Methods wait
 * for the answer, and throw an {@link E2bException} when there is none or it says no.
 */
final class Envd {
  private static final int PORT = 49983;

  /** So that something comes over a stream also when the process says nothing. */
  private static final String KEEP_ALIVE_SECONDS = "50";

  private static final int MAX_REFUSAL_BYTES = 64 * 1024;

  private static final MediaType STREAM = MediaType.parse("application/connect+json");

  private final HttpCalls http;
  private final HttpCalls.Target target;
  private final Session session;
  private final Duration timeout;

  /** Opens no connection yet. */
  Envd(E2bSettings settings, HttpCalls http, Session session) {
    this.http = http;
    this.session = session;
    this.timeout = settings.calls().request();
    this.target =
        new HttpCalls.Target(
            http.client(baseUrl(settings, session)),
            HttpCalls.Side.DAEMON,
            session.accessToken().orElse(""));
  }

  /** Returns where a sandbox's daemon is reached. */
  static URI baseUrl(E2bSettings settings, Session session) {
    if (settings.sandboxUrl().isPresent()) {
      return settings.sandboxUrl().get();
    }
    String domain = session.domain().orElse(settings.domain());
    return E2bSettings.CLOUD_DOMAINS.contains(domain)
        ? URI.create("https://sandbox." + domain)
        : URI.create("https://" + PORT + "-" + session.sandboxId() + "." + domain);
  }

  /**
   * A program to run.
   *
   * @param environment more variables than the daemon's own
   */
  record Command(String program, List<String> arguments, Map<String, String> environment) {
    Command {
      arguments = List.copyOf(arguments);
      environment = Map.copyOf(environment);
    }

    private ObjectNode json() {
      ObjectNode json = Json.object().put("cmd", program);
      ArrayNode args = json.putArray("args");
      arguments.forEach(args::add);
      ObjectNode envs = json.putObject("envs");
      environment.forEach(envs::put);
      return json.put("cwd", "/");
    }
  }

  /**
   * A process that runs.
   *
   * @param tag empty when it was started without one
   */
  record RunningProcess(long pid, String tag) {}

  /**
   * Starts a program. It has no deadline there: it goes on also when the stream is lost.
   *
   * @param user who it runs as
   * @param tag what it can be found by
   * @param stdin whether it gets a standard input that {@link #sendInput} writes to
   */
  ProcessStream start(Command command, String user, String tag, boolean stdin) {
    ObjectNode message = Json.object();
    message.set("process", command.json());
    message.put("tag", tag).put("stdin", stdin);
    return stream("Start", user, message);
  }

  /** Returns the processes that the daemon started and that run. */
  List<RunningProcess> list() {
    String what = "Process/List";
    AggregatedHttpResponse answer = call("List", Json.object());
    List<RunningProcess> processes = new ArrayList<>();
    try {
      for (JsonNode process : Json.parse(answer.content().array()).path("processes")) {
        processes.add(
            new RunningProcess(
                Json.number(process, "pid"), Json.optionalText(process, "tag").orElse("")));
      }
    } catch (Json.MalformedException e) {
      throw E2bException.broken(HttpCalls.line(what + ": the answer's " + e.getMessage()));
    }
    return processes;
  }

  /**
   * Opens the way to a process's standard input: one call for all that is written where such calls
   * get through, otherwise one for each piece.
   *
   * @param broken told when it is of no use any more; or the next write throws
   */
  ProcessInput openInput(long pid, Consumer<E2bException> broken) {
    return http.passesStreams() ? streamInput(pid, broken) : new PiecewiseInput(pid);
  }

  private ProcessInput streamInput(long pid, Consumer<E2bException> broken) {
    ObjectNode first = Json.object();
    first.set("start", selected(pid));
    HttpRequestWriter request =
        HttpRequest.streaming(rpc("StreamInput", "root").contentType(STREAM).build());
    HttpResponse response = target.client().execute(request, endless(MAX_REFUSAL_BYTES));
    return new StreamedInput("Process/StreamInput", target, request, response, first, broken);
  }

  /** Input by one call for each piece; that is answered once the process has room for all of it. */
  private final class PiecewiseInput implements ProcessInput {
    private final long pid;

    PiecewiseInput(long pid) {
      this.pid = pid;
    }

    @Override
    public void write(byte[] bytes) {
      sendInput(pid, bytes);
    }

    @Override
    public void close() {}
  }

  /** From now on {@link #openInput} makes one call for each piece: see {@link HttpCalls}. */
  void giveUpStreams() {
    http.giveUpStreams();
  }

  /** Writes to a process's standard input; returns once the process has room for all of it. */
  void sendInput(long pid, byte[] bytes) {
    ObjectNode message = selected(pid);
    message.putObject("input").put("stdin", Base64.getEncoder().encodeToString(bytes));
    call("SendInput", message);
  }

  /** What the daemon can send; there are no others. */
  enum Signal {
    SIGKILL,
    SIGTERM
  }

  /**
   * Sends a signal to a process; not to what it started.
   *
   * @return false when it is not there
   */
  boolean sendSignal(long pid, Signal signal) {
    try {
      call("SendSignal", selected(pid).put("signal", "SIGNAL_" + signal));
      return true;
    } catch (E2bException e) {
      if (e.kind() == E2bException.Kind.NOT_FOUND) {
        return false;
      }
      throw e;
    }
  }

  /**
   * Writes a file, in the place of one that is there.
   *
   * @param user who it belongs to; folders that are missing are made for the same
   */
  void upload(String path, String user, byte[] bytes) {
    QueryParams query = QueryParams.of("path", path, "username", user);
    String boundary = UUID.randomUUID().toString();
    List<String> head =
        List.of(
            "--" + boundary,
            "Content-Disposition: form-data; name=\"file\"; filename=\"file\"",
            "Content-Type: application/octet-stream",
            "",
            "");
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    body.writeBytes(String.join("\r\n", head).getBytes(StandardCharsets.UTF_8));
    body.writeBytes(bytes);
    body.writeBytes(("\r\n--" + boundary + "--\r\n").getBytes(StandardCharsets.UTF_8));
    RequestHeaders headers =
        headers(HttpMethod.POST, "/files?" + query.toQueryString())
            .contentType(MediaType.MULTIPART_FORM_DATA.withParameter("boundary", boundary))
            .build();
    HttpRequest request = HttpRequest.of(headers, HttpData.wrap(body.toByteArray()));
    http.call(target, "POST /files", request, timeout);
  }

  private AggregatedHttpResponse call(String method, JsonNode message) {
    RequestHeaders headers = rpc(method, "root").contentType(MediaType.JSON).build();
    HttpRequest request = HttpRequest.of(headers, HttpData.wrap(Json.bytes(message)));
    return http.call(target, "Process/" + method, request, timeout);
  }

  /** Waits for the head of the answer only; from then on the stream has no deadline. */
  private ProcessStream stream(String method, String user, JsonNode message) {
    String what = "Process/" + method;
    RequestHeaders headers =
        rpc(method, user)
            .contentType(STREAM)
            .set("keepalive-ping-interval", KEEP_ALIVE_SECONDS)
            .build();
    HttpData content = HttpData.wrap(ConnectDecoder.envelope(Json.bytes(message)));
    HttpResponse response = target.client().execute(HttpRequest.of(headers, content), endless(0));
    SplitHttpResponse split = response.split();
    ResponseHeaders head =
        HttpCalls.await(
            what,
            split.headers().copy().orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS),
            response::abort);
    if (!head.status().isSuccess()) {
      CompletableFuture<byte[]> body =
          ByteStreamMessage.of(split.body())
              .range(0, MAX_REFUSAL_BYTES)
              .collectBytes()
              .orTimeout(timeout.toMillis(), TimeUnit.MILLISECONDS);
      byte[] bytes = HttpCalls.await(what, body, response::abort);
      throw HttpCalls.refusal(what, head, bytes, target);
    }
    return new ProcessStream(what, response, split.body());
  }

  /**
   * For a call that goes on as long as either side wants.
   *
   * @param mostBytes of the answer; 0 for any number
   */
  private RequestOptions endless(long mostBytes) {
    return RequestOptions.builder()
        .writeTimeout(timeout)
        .responseTimeoutMillis(0)
        .maxResponseLength(mostBytes)
        .build();
  }

  private ObjectNode selected(long pid) {
    ObjectNode message = Json.object();
    message.putObject("process").put("pid", pid);
    return message;
  }

  private RequestHeadersBuilder rpc(String method, String user) {
    String basic =
        Base64.getEncoder().encodeToString((user + ":").getBytes(StandardCharsets.UTF_8));
    return headers(HttpMethod.POST, "/process.Process/" + method)
        .set("connect-protocol-version", "1")
        .set("authorization", "Basic " + basic);
  }

  private RequestHeadersBuilder headers(HttpMethod method, String path) {
    RequestHeadersBuilder headers =
        RequestHeaders.builder(method, path)
            .set("user-agent", "sandkeeper")
            .set("e2b-sandbox-id", session.sandboxId())
            .set("e2b-sandbox-port", Integer.toString(PORT));
    session.accessToken().ifPresent(token -> headers.set("x-access-token", token));
    return headers;
  }

  @Override
  public String toString() {
    return session.toString();
  }
}
