package dev.sandkeeper.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Describes a connection: by TLS, trusting whom the JDK trusts, unless told otherwise. */
public final class ClientBuilder {
  /** A bundle of results may be larger than gRPC's default of 4 MiB allows. */
  private static final int MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

  /**
   * How many bytes of a stream may be on their way. gRPC's own window is too small to keep output
   * of hundreds of megabytes a second flowing.
   */
  private static final int WINDOW_BYTES = 4 * 1024 * 1024;

  /** gRPC silently raises what is shorter to this. */
  private static final Duration SHORTEST_KEEP_ALIVE = Duration.ofSeconds(10);

  private static final Duration KEEP_ALIVE_TIMEOUT = Duration.ofSeconds(10);

  private final String target;
  private Optional<Supplier<String>> apiKey = Optional.empty();
  private boolean plaintext;
  private Optional<Path> trust = Optional.empty();
  private @Nullable Path certificate;
  private @Nullable Path certificateKey;
  private Duration callTimeout = Duration.ofSeconds(30);
  private Optional<Duration> streamTimeout = Optional.empty();
  private Duration reattachTimeout = Duration.ofSeconds(60);
  private Duration keepAlive = Duration.ofSeconds(30);
  private Optional<Executor> executor = Optional.empty();
  private Timing timing = Timing.system();

  ClientBuilder(String target) {
    this.target = target;
  }

  /**
   * Sends this API key with every call.
   *
   * @param key the key's secret
   */
  public ClientBuilder apiKey(String key) {
    return apiKey(() -> key);
  }

  /**
   * Sends an API key with every call, for keys that change.
   *
   * @param key returns the key's secret; called for each call on its thread, so it must be quick
   */
  public ClientBuilder apiKey(Supplier<String> key) {
    apiKey = Optional.of(key);
    return this;
  }

  /** Speaks without TLS: for a server on this machine, or behind something that adds TLS. */
  public ClientBuilder plaintext() {
    plaintext = true;
    return this;
  }

  /**
   * Trusts servers with a certificate of these authorities, and no others.
   *
   * @param certificates a PEM file
   */
  public ClientBuilder trust(Path certificates) {
    trust = Optional.of(certificates);
    return this;
  }

  /**
   * Shows the server a certificate of the client.
   *
   * @param chain a PEM file with the certificate and those between it and its authority
   * @param key a PEM file with its private key, PKCS #8 and not encrypted
   */
  public ClientBuilder clientCertificate(Path chain, Path key) {
    certificate = chain;
    certificateKey = key;
    return this;
  }

  /**
   * Sets how long a call that is not a stream may take, with all its tries; 30 seconds by default.
   *
   * @param timeout more than zero
   */
  public ClientBuilder callTimeout(Duration timeout) {
    callTimeout = positive("callTimeout", timeout);
    return this;
  }

  /**
   * Sets how long a stream may take in all: an execution's with all its re-attachments, an upload
   * or a download. No limit by default.
   *
   * @param timeout more than zero
   */
  public ClientBuilder streamTimeout(Duration timeout) {
    streamTimeout = Optional.of(positive("streamTimeout", timeout));
    return this;
  }

  /**
   * Sets for how long an execution's stream that broke tries to attach again while nothing comes;
   * 60 seconds by default. Between the tries it waits 100 milliseconds at first and 5 seconds at
   * most.
   *
   * @param timeout zero for never attaching again, or more
   */
  public ClientBuilder reattachTimeout(Duration timeout) {
    reattachTimeout = checked(!timeout.isNegative(), "reattachTimeout", timeout, ">= 0");
    return this;
  }

  /**
   * Sets after how long a silence, while calls are under way, the client asks whether the server is
   * still there; 30 seconds by default. Without an answer in 10 seconds the connection is broken.
   *
   * @param interval 10 seconds or more
   */
  public ClientBuilder keepAlive(Duration interval) {
    keepAlive =
        checked(
            interval.compareTo(SHORTEST_KEEP_ALIVE) >= 0,
            "keepAlive",
            interval,
            ">= " + SHORTEST_KEEP_ALIVE);
    return this;
  }

  /**
   * Runs the callbacks of {@link ExecutionListener}s here, such as on virtual threads; by default
   * on threads shared by all of gRPC. Closing the client leaves it alone.
   */
  public ClientBuilder executor(Executor executor) {
    this.executor = Optional.of(executor);
    return this;
  }

  /** Goes by another clock and chance; for tests. */
  ClientBuilder timing(Timing timing) {
    this.timing = timing;
    return this;
  }

  /**
   * Makes the client; it connects with its first call.
   *
   * @throws IllegalArgumentException when the settings contradict each other, or a file cannot be
   *     read
   */
  public SandkeeperClient build() {
    return build(
        NettyChannelBuilder.forTarget(target, credentials()).flowControlWindow(WINDOW_BYTES));
  }

  /** Makes the client over another kind of channel; for tests. */
  SandkeeperClient build(ManagedChannelBuilder<?> builder) {
    builder
        .maxInboundMessageSize(MAX_MESSAGE_BYTES)
        .keepAliveTime(keepAlive.toNanos(), TimeUnit.NANOSECONDS)
        .keepAliveTimeout(KEEP_ALIVE_TIMEOUT.toNanos(), TimeUnit.NANOSECONDS)
        .userAgent("sandkeeper-client-java");
    apiKey.ifPresent(key -> builder.intercept(new ApiKeyInterceptor(key)));
    executor.ifPresent(builder::executor);
    ManagedChannel channel = builder.build();
    return new SandkeeperClient(
        channel,
        new Calls(channel, callTimeout, timing),
        new Streams(channel, streamTimeout, reattachTimeout, timing));
  }

  private ChannelCredentials credentials() {
    if (plaintext) {
      if (trust.isPresent() || certificate != null) {
        throw new IllegalArgumentException(
            "plaintext: given together with certificates (expected: one or the other)");
      }
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    try {
      if (trust.isPresent()) {
        tls.trustManager(trust.get().toFile());
      }
      if (certificate != null && certificateKey != null) {
        tls.keyManager(certificate.toFile(), certificateKey.toFile());
      }
    } catch (IOException e) {
      throw new IllegalArgumentException("a certificate or key cannot be read: " + e, e);
    }
    return tls.build();
  }

  private static Duration positive(String name, Duration value) {
    return checked(!value.isZero() && !value.isNegative(), name, value, "> 0");
  }

  private static Duration checked(boolean good, String name, Duration value, String expected) {
    if (!good) {
      throw new IllegalArgumentException(name + ": " + value + " (expected: " + expected + ")");
    }
    return value;
  }
}
