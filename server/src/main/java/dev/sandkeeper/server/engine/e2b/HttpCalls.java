package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.common.base.Throwables;
import com.linecorp.armeria.client.ClientFactory;
import com.linecorp.armeria.client.RequestOptions;
import com.linecorp.armeria.client.ResponseTimeoutException;
import com.linecorp.armeria.client.ResponseTimeoutMode;
import com.linecorp.armeria.client.UnprocessedRequestException;
import com.linecorp.armeria.client.WebClient;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.SessionProtocol;
import com.linecorp.armeria.common.util.SafeCloseable;
import io.netty.handler.ssl.SslContextBuilder;
import java.net.URI;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The connections to E2B, shared by all sandboxes of an engine, and how answers are told apart.
 * HTTP/2 with TLS, where one connection carries many streams; HTTP/1.1 without.
 */
final class HttpCalls implements AutoCloseable {

  /**
   * What a stream that nobody reads can hold up in memory, and what all of a connection can: as
   * much for many such streams that the others still get through.
   */
  private static final int STREAM_WINDOW_BYTES = 256 * 1024;

  private static final int CONNECTION_WINDOW_BYTES = 256 * STREAM_WINDOW_BYTES;

  private static final Duration PING_INTERVAL = Duration.ofSeconds(30);

  private static final int MAX_ANSWER_BYTES = 16 * 1024 * 1024;
  private static final int MAX_MESSAGE_LENGTH = 512;

  private final ClientFactory factory;
  private volatile boolean passesStreams = true;

  HttpCalls(Duration connectTimeout) {
    this(connectTimeout, _ -> {});
  }

  /**
   * Opens no connection yet.
   *
   * @param tls may have other certificates trusted than the JDK does
   */
  HttpCalls(Duration connectTimeout, Consumer<SslContextBuilder> tls) {
    this.factory =
        ClientFactory.builder()
            .connectTimeout(connectTimeout)
            .http2InitialStreamWindowSize(STREAM_WINDOW_BYTES)
            .http2InitialConnectionWindowSize(CONNECTION_WINDOW_BYTES)
            .pingInterval(PING_INTERVAL)
            .tlsCustomizer(tls)
            .build();
  }

  /** Returns whether a request reaches the other end before it is whole, as far as is known. */
  boolean passesStreams() {
    return passesStreams;
  }

  /** Says that it does not: something on the way waits for the whole of it, or takes none. */
  void giveUpStreams() {
    passesStreams = false;
  }

  /** Returns a client for what begins with a URL. */
  WebClient client(URI base) {
    boolean isHttps = base.getScheme().equals("https");
    String path = base.getRawPath() == null ? "" : base.getRawPath().replaceAll("/+$", "");
    SessionProtocol protocol = isHttps ? SessionProtocol.HTTPS : SessionProtocol.H1C;
    return WebClient.builder(protocol.uriText() + "://" + base.getRawAuthority() + path)
        .factory(factory)
        .maxResponseLength(MAX_ANSWER_BYTES)
        .build();
  }

  /**
   * Waits for a whole answer.
   *
   * @param what the call, for messages: nothing secret
   * @throws E2bException when there is none, or it says no
   */
  AggregatedHttpResponse call(Target target, String what, HttpRequest request, Duration timeout) {
    RequestOptions options =
        RequestOptions.builder()
            .responseTimeout(timeout)
            .writeTimeout(timeout)
            .responseTimeoutMode(ResponseTimeoutMode.FROM_START)
            .build();
    HttpResponse response = target.client().execute(request, options);
    AggregatedHttpResponse answer = await(what, response.aggregate(), response::abort);
    if (!answer.status().isSuccess()) {
      throw refusal(what, answer.headers(), answer.content().array(), target);
    }
    return answer;
  }

  /** Waits for something of an answer; when interrupted gives the answer up. */
  static <T> T await(String what, CompletableFuture<T> future, SafeCloseable abort) {
    try {
      return future.get();
    } catch (InterruptedException e) {
      abort.close();
      Thread.currentThread().interrupt();
      throw E2bException.unanswered(what + ": interrupted", true, e);
    } catch (ExecutionException e) {
      abort.close();
      throw unanswered(what, e);
    }
  }

  /** Makes the failure for what the client says of a call without an answer. */
  static E2bException unanswered(String what, Throwable failure) {
    boolean mayBeDone =
        Throwables.getCausalChain(failure).stream()
            .noneMatch(UnprocessedRequestException.class::isInstance);
    Throwable root = Throwables.getRootCause(failure);
    boolean late = root instanceof ResponseTimeoutException || root instanceof TimeoutException;
    String text = late ? "no answer in time" : "no answer: " + root;
    return E2bException.unanswered(line(what + ": " + text), mayBeDone, failure);
  }

  /** Who answers: both use the same statuses for different things. */
  enum Side {
    CONTROL,
    DAEMON
  }

  /**
   * Who is called.
   *
   * @param secret what no message may have, should an answer repeat it
   */
  record Target(WebClient client, Side side, String secret) {
    @Override
    public String toString() {
      return client.uri().toString();
    }
  }

  /** Makes the failure for an answer that says no. */
  static E2bException refusal(String what, ResponseHeaders headers, byte[] body, Target target) {
    int status = headers.status().code();
    String message = "";
    String errorCode = "";
    boolean isConnectError = false;
    try {
      JsonNode json = Json.parse(body);
      message = Json.optionalText(json, "message").orElse("");
      // The daemon's errors have a text for a code where those of the way to it have a number.
      isConnectError = json.path("code").isTextual();
      errorCode =
          Json.optionalText(json, "error_code")
              .or(() -> Json.optionalText(json, "code"))
              .orElse("");
    } catch (Json.MalformedException e) {
      message = "an answer that " + e.getMessage();
    }
    if (!target.secret().isEmpty()) {
      message = message.replace(target.secret(), "(hidden)");
    }
    return E2bException.answered(
        kind(status, message, target.side(), isConnectError),
        status,
        errorCode,
        retryAfter(headers),
        line(what + ": " + status + (message.isEmpty() ? "" : " " + message)));
  }

  private static E2bException.Kind kind(
      int status, String message, Side side, boolean isConnectError) {
    String text = message.toLowerCase(Locale.ROOT);
    return switch (status) {
      // Also an account that may make no sandboxes now, as one that has not paid.
      case 401, 402, 403 -> E2bException.Kind.UNAUTHENTICATED;
      case 404 ->
          side == Side.CONTROL || isConnectError
              ? E2bException.Kind.NOT_FOUND
              : E2bException.Kind.GONE;
      case 409 -> E2bException.Kind.CONFLICT;
      case 429 ->
          text.contains("maximum number of concurrent")
              ? E2bException.Kind.CAPACITY
              : E2bException.Kind.RATE_LIMITED;
      case 502 ->
          side == Side.DAEMON && text.contains("not found")
              ? E2bException.Kind.GONE
              : E2bException.Kind.UNAVAILABLE;
      default -> status >= 500 ? E2bException.Kind.UNAVAILABLE : E2bException.Kind.REFUSED;
    };
  }

  private static @Nullable Duration retryAfter(ResponseHeaders headers) {
    String value = Optional.ofNullable(headers.get(HttpHeaderNames.RETRY_AFTER)).orElse("");
    return value.matches("[0-9]{1,6}") ? Duration.ofSeconds(Integer.parseInt(value)) : null;
  }

  /** Makes one line that is not too long of what others wrote. */
  static String line(String text) {
    String cut = text.substring(0, Math.min(text.length(), MAX_MESSAGE_LENGTH));
    return cut.replaceAll("[\\x00-\\x1f\\x7f]", " ");
  }

  /** Closes every connection; calls under way fail. */
  @Override
  public void close() {
    factory.close();
  }
}
