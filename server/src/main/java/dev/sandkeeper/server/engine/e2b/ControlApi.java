package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import com.linecorp.armeria.client.WebClient;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.QueryParams;
import com.linecorp.armeria.common.QueryParamsBuilder;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.RequestHeadersBuilder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * E2B's control API: makes, finds, pauses and ends sandboxes. Every method waits for the answer,
 * and throws an {@link E2bException} when there is none or it says no.
 */
final class ControlApi {
  private static final int PAGE_SIZE = 100;
  private static final Pattern ID = Pattern.compile("[A-Za-z0-9-]{1,128}");
  private static final Pattern KEY = Pattern.compile("[\\x21-\\x7e]+");

  /** More sandboxes than any account has. */
  private static final int MAX_PAGES = 1000;

  private final HttpCalls http;
  private final WebClient client;
  private final Supplier<String> apiKey;
  private final E2bSettings.Calls calls;
  private final Duration whole;
  private final RandomGenerator random;

  /**
   * Opens no connection yet.
   *
   * @param apiKey asked for with every request, so that it can change
   * @param random spreads what is tried again
   */
  ControlApi(
      E2bSettings settings, HttpCalls http, Supplier<String> apiKey, RandomGenerator random) {
    this(
        http,
        http.client(settings.apiUrl()),
        apiKey,
        settings.calls(),
        random,
        settings.calls().whole());
  }

  private ControlApi(
      HttpCalls http,
      WebClient client,
      Supplier<String> apiKey,
      E2bSettings.Calls calls,
      RandomGenerator random,
      Duration whole) {
    this.http = http;
    this.client = client;
    this.apiKey = apiKey;
    this.calls = calls;
    this.random = random;
    this.whole = whole;
  }

  /** Returns the same API with less or more time for each call, all its tries included. */
  ControlApi within(Duration time) {
    return new ControlApi(http, client, apiKey, calls, random, time);
  }

  /**
   * Makes a sandbox. Tried again only when it certainly was not made.
   *
   * @throws E2bException when {@link E2bException#mayBeDone}, look for it by its metadata
   */
  Session create(NewSandbox sandbox) {
    String what = "POST /sandboxes";
    Supplier<Request> request =
        lasting(what, sandbox.timeout(), left -> post("/sandboxes", sandbox.json(left)));
    AggregatedHttpResponse answer = send(what, request, ControlApi::isCertainlyNotDone);
    return read(what, answer, json -> session(json, false));
  }

  /**
   * Reaches a sandbox, resumed if it is paused.
   *
   * @param timeout after how long E2B ends it by itself, counted from now; never shortens what it
   *     has
   */
  Session connect(String sandboxId, Duration timeout) {
    String path = path(sandboxId, "/connect");
    AggregatedHttpResponse answer =
        send("POST " + path, lasting(path, timeout), ControlApi::isPassing);
    boolean resumed = answer.status().equals(HttpStatus.CREATED);
    return read("POST " + path, answer, json -> session(requireOf(sandboxId, json), resumed));
  }

  /**
   * Returns all sandboxes, running and paused.
   *
   * @param metadata what they must have; empty for all of the account
   */
  List<RemoteSandbox> list(Map<String, String> metadata) {
    List<RemoteSandbox> found = new ArrayList<>();
    String token = "";
    long begin = System.nanoTime();
    for (int page = 0; page < MAX_PAGES; page++) {
      QueryParamsBuilder query =
          QueryParams.builder().add("state", "running,paused").add("limit", "" + PAGE_SIZE);
      if (!metadata.isEmpty()) {
        query.add("metadata", form(metadata));
      }
      if (!token.isEmpty()) {
        query.add("nextToken", token);
      }
      String what = "GET /v2/sandboxes";
      AggregatedHttpResponse answer =
          within(left(begin))
              .send(what, get("/v2/sandboxes", query.build()), ControlApi::isPassing);
      // One that E2B should not have listed is nobody's to use or to end.
      read(what, answer, json -> items(json, RemoteSandbox::read)).stream()
          .filter(one -> one.metadata().entrySet().containsAll(metadata.entrySet()))
          .forEach(found::add);
      token = Optional.ofNullable(answer.headers().get("x-next-token")).orElse("");
      if (token.isEmpty()) {
        return List.copyOf(found);
      }
    }
    throw E2bException.broken("GET /v2/sandboxes: more than " + MAX_PAGES + " pages");
  }

  /** Returns a sandbox, if it is there. */
  Optional<RemoteSandbox> find(String sandboxId) {
    String path = path(sandboxId, "");
    try {
      AggregatedHttpResponse answer =
          send("GET " + path, get(path, QueryParams.of()), ControlApi::isPassing);
      return Optional.of(
          read("GET " + path, answer, json -> RemoteSandbox.read(requireOf(sandboxId, json))));
    } catch (E2bException e) {
      if (e.kind() == E2bException.Kind.NOT_FOUND) {
        return Optional.empty();
      }
      throw e;
    }
  }

  /**
   * Ends a sandbox, running or paused.
   *
   * @return false when there was none
   */
  boolean kill(String sandboxId) {
    String path = path(sandboxId, "");
    Request request = new Request(headers(HttpMethod.DELETE, path).build(), HttpData.empty());
    try {
      send("DELETE " + path, request, ControlApi::isPassing);
      return true;
    } catch (E2bException e) {
      if (e.kind() == E2bException.Kind.NOT_FOUND) {
        return false;
      }
      throw e;
    }
  }

  /**
   * Pauses a sandbox with its memory.
   *
   * @return false when it was paused already
   */
  boolean pause(String sandboxId) {
    String path = path(sandboxId, "/pause");
    try {
      send("POST " + path, post(path, Json.object()), ControlApi::isPassing);
      return true;
    } catch (E2bException e) {
      String message = String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT);
      if (e.kind() == E2bException.Kind.CONFLICT && message.contains("already paused")) {
        return false;
      }
      throw e;
    }
  }

  /** Sets after how long from now E2B ends a sandbox by itself; may be sooner than it was. */
  void timeout(String sandboxId, Duration timeout) {
    String path = path(sandboxId, "/timeout");
    send("POST " + path, lasting(path, timeout), ControlApi::isPassing);
  }

  /**
   * Returns what happened to a sandbox, oldest first. Only E2B's own cloud has it, for some days.
   *
   * @return empty also where nothing is kept
   */
  List<LifecycleEvent> events(String sandboxId) {
    List<LifecycleEvent> found = new ArrayList<>();
    long begin = System.nanoTime();
    String path = "/events/sandboxes/" + sandboxId;
    for (int page = 0; page < MAX_PAGES; page++) {
      QueryParams query =
          QueryParams.of("offset", "" + found.size(), "limit", "" + PAGE_SIZE, "orderAsc", "true");
      List<LifecycleEvent> more;
      try {
        AggregatedHttpResponse answer =
            within(left(begin)).send("GET " + path, get(path, query), ControlApi::isPassing);
        more = read("GET " + path, answer, json -> items(json, LifecycleEvent::read));
      } catch (E2bException e) {
        if (e.kind() == E2bException.Kind.NOT_FOUND) {
          return List.of();
        }
        throw e;
      }
      found.addAll(more);
      if (more.size() < PAGE_SIZE) {
        return List.copyOf(found);
      }
    }
    throw E2bException.broken("GET " + path + ": more than " + MAX_PAGES + " pages");
  }

  /** What is left for further pages: all of them are one call. */
  private Duration left(long begin) {
    Duration left = whole.minusNanos(System.nanoTime() - begin);
    if (!left.isPositive()) {
      throw E2bException.broken("E2B has no end of pages within " + whole);
    }
    return left;
  }

  /** Whether a failure passes by itself: what may be asked for twice is tried again. */
  private static boolean isPassing(E2bException failure) {
    return switch (failure.kind()) {
      case RATE_LIMITED, UNAVAILABLE, BROKEN -> true;
      case GONE, NOT_FOUND, CAPACITY, CONFLICT, UNAUTHENTICATED, REFUSED -> false;
    };
  }

  private static boolean isCertainlyNotDone(E2bException failure) {
    return isPassing(failure) && !failure.mayBeDone();
  }

  /** A request that can be made more than once. */
  private record Request(RequestHeaders headers, HttpData body) {}

  private AggregatedHttpResponse send(String what, Request request, Predicate<E2bException> safe) {
    return send(what, () -> request, safe);
  }

  private AggregatedHttpResponse send(
      String what, Supplier<Request> request, Predicate<E2bException> safe) {
    return new Retries(calls, whole, random)
        .run(what, time -> once(what, request.get(), time), safe);
  }

  private static Supplier<Request> lasting(String path, Duration timeout) {
    return lasting(
        "POST " + path, timeout, left -> post(path, Json.object().put("timeout", seconds(left))));
  }

  /**
   * Makes a request for a time that begins now. E2B counts from when it takes a request, so each
   * further try asks for what is left by then: else a late one would outlast what is paid.
   */
  private static Supplier<Request> lasting(
      String what, Duration timeout, Function<Duration, Request> request) {
    long begin = System.nanoTime();
    return () -> {
      Duration left = timeout.minusNanos(System.nanoTime() - begin);
      if (!left.isPositive()) {
        throw E2bException.tooLate(what + ": the time that it asks for is over");
      }
      return request.apply(left);
    };
  }

  private AggregatedHttpResponse once(String what, Request request, Duration time) {
    String key = requireKey();
    RequestHeaders headers = request.headers().toBuilder().set("X-API-Key", key).build();
    HttpCalls.Target target = new HttpCalls.Target(client, HttpCalls.Side.CONTROL, key);
    return http.call(target, what, HttpRequest.of(headers, request.body()), time);
  }

  /** What a header cannot have is refused here: who refuses it later would tell it. */
  private String requireKey() {
    String key = apiKey.get();
    if (!KEY.matcher(key).matches()) {
      throw E2bException.noKey("E2B's API key is none (expected: letters, digits and _)");
    }
    return key;
  }

  private static RequestHeadersBuilder headers(HttpMethod method, String path) {
    return RequestHeaders.builder(method, path)
        .add("accept", "application/json")
        .add("user-agent", "sandkeeper");
  }

  private static Request get(String path, QueryParams query) {
    String target = query.isEmpty() ? path : path + "?" + query.toQueryString();
    return new Request(headers(HttpMethod.GET, target).build(), HttpData.empty());
  }

  private static Request post(String path, JsonNode body) {
    return new Request(
        headers(HttpMethod.POST, path).contentType(MediaType.JSON).build(),
        HttpData.wrap(Json.bytes(body)));
  }

  /** The ids of E2B's are plain; what is not is not let into a path. */
  private static String path(String sandboxId, String rest) {
    if (!ID.matcher(sandboxId).matches()) {
      throw new IllegalArgumentException(
          "sandboxId: " + HttpCalls.line(sandboxId) + " (expected: letters, digits and -)");
    }
    return "/sandboxes/" + sandboxId + rest;
  }

  /** The names and values encoded by themselves, then once more as the value of a parameter. */
  private static String form(Map<String, String> metadata) {
    return new TreeMap<>(metadata)
        .entrySet().stream()
            .map(entry -> encode(encode(entry.getKey())) + "=" + encode(encode(entry.getValue())))
            .collect(Collectors.joining("&"));
  }

  private static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }

  /** Returns a span as E2B takes it, which is in whole seconds: none less. */
  static long seconds(Duration timeout) {
    if (!timeout.isPositive()) {
      throw new IllegalArgumentException("timeout: " + timeout + " (expected: > 0)");
    }
    return timeout.plusSeconds(1).minusNanos(1).toSeconds();
  }

  /** What E2B says of another sandbox than it was asked for is not to be used for this one. */
  private static JsonNode requireOf(String sandboxId, JsonNode json)
      throws Json.MalformedException {
    if (!Json.text(json, "sandboxID").equals(sandboxId)) {
      throw new Json.MalformedException("sandboxID: that of another (expected: " + sandboxId + ")");
    }
    return json;
  }

  private static String sandboxId(JsonNode json) throws Json.MalformedException {
    String sandboxId = Json.text(json, "sandboxID");
    if (!ID.matcher(sandboxId).matches()) {
      throw new Json.MalformedException("sandboxID: odd (expected: letters, digits and -)");
    }
    return sandboxId;
  }

  private static Session session(JsonNode json, boolean resumed) throws Json.MalformedException {
    return new Session(
        sandboxId(json),
        Json.text(json, "templateID"),
        Json.text(json, "envdVersion"),
        Json.optionalText(json, "envdAccessToken"),
        Json.optionalText(json, "trafficAccessToken"),
        Json.optionalText(json, "domain"),
        resumed);
  }

  /** What makes a value of an answer. */
  private interface Reader<T> {
    T read(JsonNode json) throws Json.MalformedException;
  }

  private static <T> List<T> items(JsonNode json, Reader<T> reader) throws Json.MalformedException {
    if (!json.isArray()) {
      throw new Json.MalformedException("is " + json.getNodeType() + " (expected: an array)");
    }
    List<T> items = new ArrayList<>();
    for (JsonNode item : json) {
      items.add(reader.read(item));
    }
    return items;
  }

  private static <T> T read(String what, AggregatedHttpResponse answer, Reader<T> reader) {
    try {
      return reader.read(Json.parse(answer.content().array()));
    } catch (Json.MalformedException e) {
      throw E2bException.broken(HttpCalls.line(what + ": the answer's " + e.getMessage()));
    }
  }
}
