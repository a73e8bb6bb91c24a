package dev.sandkeeper.server.alert.http;

import com.google.common.base.Throwables;
import com.linecorp.armeria.client.ClientFactory;
import com.linecorp.armeria.client.Endpoint;
import com.linecorp.armeria.client.ResponseTimeoutException;
import com.linecorp.armeria.client.ResponseTimeoutMode;
import com.linecorp.armeria.client.WebClient;
import com.linecorp.armeria.client.proxy.ProxyConfig;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.RequestHeadersBuilder;
import com.linecorp.armeria.common.SessionProtocol;
import dev.sandkeeper.server.alert.Attempt;
import dev.sandkeeper.server.alert.Receivers;
import io.netty.handler.ssl.SslContextBuilder;
import java.net.InetAddress;
import java.net.URI;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;

/**
 * Receivers over Armeria's client, as the JDK's connects to no address but the one that it looks up
 * itself. A certificate must still be good for the name. HTTP/1.1, which every receiver speaks.
 */
public final class HttpReceivers implements Receivers, AutoCloseable {
  private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);
  private static final int MAX_ERROR_LENGTH = 256;

  private final Duration timeout;
  private final ClientFactory factory;

  /**
   * Opens no connection yet.
   *
   * @param timeout for connection and answer together
   */
  public HttpReceivers(Duration timeout) {
    this(timeout, _ -> {});
  }

  /**
   * Opens no connection yet.
   *
   * @param tls may have other certificates trusted than the JDK does
   */
  HttpReceivers(Duration timeout, Consumer<SslContextBuilder> tls) {
    this.timeout = timeout;
    this.factory =
        ClientFactory.builder()
            .connectTimeout(CONNECT_TIMEOUT)
            .proxyConfig(ProxyConfig.direct())
            .tlsCustomizer(tls)
            .build();
  }

  @Override
  public Attempt post(URI uri, InetAddress address, Map<String, String> headers, String body)
      throws InterruptedException {
    HttpResponse response = client(uri, address).execute(request(uri, headers, body));
    try {
      return attempt(response.split().headers().get().status());
    } catch (ExecutionException e) {
      return new Attempt.Failed(describe(e));
    } finally {
      response.abort(); // with the connection, unless there is no body
    }
  }

  private WebClient client(URI uri, InetAddress address) {
    boolean isHttps = uri.getScheme().equals("https");
    int port = uri.getPort() == -1 ? (isHttps ? 443 : 80) : uri.getPort();
    return WebClient.builder(
            isHttps ? SessionProtocol.H1 : SessionProtocol.H1C,
            Endpoint.of(uri.getHost(), port).withIpAddr(address.getHostAddress()))
        .factory(factory)
        .responseTimeout(timeout)
        .responseTimeoutMode(ResponseTimeoutMode.FROM_START)
        .build();
  }

  private static HttpRequest request(URI uri, Map<String, String> headers, String body) {
    String path = uri.getRawPath().isEmpty() ? "/" : uri.getRawPath();
    String target = uri.getRawQuery() == null ? path : path + "?" + uri.getRawQuery();
    RequestHeadersBuilder builder =
        RequestHeaders.builder(HttpMethod.POST, target)
            .contentType(MediaType.JSON)
            .set(HttpHeaderNames.USER_AGENT, "Sandkeeper");
    headers.forEach(builder::set);
    return HttpRequest.of(builder.build(), HttpData.ofUtf8(body));
  }

  private static Attempt attempt(HttpStatus status) {
    if (status.isSuccess()) {
      return new Attempt.Taken();
    }
    if (status.equals(HttpStatus.GONE)) {
      return new Attempt.Gone();
    }
    String error = "answered " + status.code();
    return new Attempt.Failed(
        status.isRedirection() ? error + "; redirects are not followed" : error);
  }

  private String describe(ExecutionException failure) {
    Throwable cause = Throwables.getRootCause(failure);
    if (cause instanceof ResponseTimeoutException) {
      return "no answer within " + timeout.toSeconds() + " s";
    }
    String text = "no answer: " + cause;
    return text.substring(0, Math.min(text.length(), MAX_ERROR_LENGTH)).replace('\n', ' ');
  }

  /** Closes every connection; attempts under way fail. */
  @Override
  public void close() {
    factory.close();
  }
}
