package dev.sandkeeper.server.transport;

import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.SessionProtocol;
import com.linecorp.armeria.common.metric.NoopMeterRegistry;
import com.linecorp.armeria.server.Server;
import com.linecorp.armeria.server.ServerBuilder;
import dev.sandkeeper.server.telemetry.Instruments;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollChannelOption;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Predicate;

/** Makes the one port that everything is served on, and holds connections within bounds. */
public final class Transport {
  /** The head of a request: its line or pseudo headers, and all headers. */
  static final int MAX_HEAD_BYTES = 32 << 10;

  /** After how many ping intervals the kernel gives up on a client that takes nothing. */
  private static final int STALLED_INTERVALS = 8;

  /**
   * How long a client may go on sending a request that has its answer. Without it the request is
   * reset at once, and clients that meet the reset while they send, as those on gRPC's C core do in
   * the middle of an upload, lose the answer that came before it.
   */
  private static final Duration ABORT_DELAY = Duration.ofSeconds(2);

  /** How long no call may be open before the server stops. Zero would mean: stop at once. */
  private static final Duration QUIET = Duration.ofMillis(1);

  private final TransportSettings settings;
  private final Optional<ServerCertificate> certificate;
  private final Instruments instruments;
  private final Connections connections;

  /**
   * Prepares the port.
   *
   * @param certificate speaks TLS with it and nothing else; empty for no TLS at all
   */
  public Transport(
      TransportSettings settings,
      Optional<ServerCertificate> certificate,
      Instruments instruments) {
    this.settings = settings;
    this.certificate = certificate;
    this.instruments = instruments;
    this.connections = new Connections(settings.maxConnections(), instruments);
  }

  /**
   * Returns a server on the port, to which services can be added.
   *
   * @param isUpload says which requests may take as long as they like to arrive, because they show
   *     their key before what is large
   */
  public ServerBuilder newServer(Predicate<RequestHeaders> isUpload) {
    ServerBuilder server =
        Server.builder()
            .port(
                new InetSocketAddress(settings.host(), settings.port()),
                certificate.isPresent() ? SessionProtocol.HTTPS : SessionProtocol.HTTP)
            .meterRegistry(NoopMeterRegistry.get()) // ours are OpenTelemetry's
            .unloggedExceptionsReportInterval(Duration.ZERO) // ErrorMapper logs the server's faults
            .idleTimeout(settings.idleTimeout())
            .pingInterval(Duration.ZERO) // PeerWatch's work
            .http1MaxInitialLineLength(MAX_HEAD_BYTES)
            .http1MaxHeaderSize(MAX_HEAD_BYTES)
            .http2MaxHeaderListSize(MAX_HEAD_BYTES)
            .http2MaxStreamsPerConnection(settings.maxStreams())
            .http2MaxResetFramesPerWindow(
                ResetWindow.MAX_RESETS, (int) ResetWindow.LENGTH.toSeconds())
            .requestTimeout(Duration.ZERO) // streams have no end of their own; clients set theirs
            .requestAutoAbortDelay(ABORT_DELAY)
            .decorator(new RequestArrival(settings.requestTimeout(), isUpload))
            .gracefulShutdownTimeout(QUIET, settings.shutdownGrace())
            .childChannelPipelineCustomizer(this::begin);
    if (Epoll.isAvailable()) {
      server.childChannelOption(
          EpollChannelOption.TCP_USER_TIMEOUT,
          (int) settings.pingInterval().multipliedBy(STALLED_INTERVALS).toMillis());
    }
    // TLS 1.2 and 1.3 with the ciphers that HTTP/2 allows are the library's own choice.
    certificate.ifPresent(shown -> server.tlsProvider(shown.provider(instruments)));
    return server;
  }

  /** Puts what watches a connection into its pipeline, which so far ends at TLS if there is any. */
  private void begin(ChannelPipeline pipeline) {
    if (!connections.admit(pipeline.channel())) {
      return;
    }
    if (certificate.isPresent()) {
      pipeline.addLast(new FrameGuard());
      pipeline.addFirst(new PlaintextRefusal());
    } else {
      pipeline.addFirst(new FrameGuard());
    }
    pipeline.addFirst(new PeerWatch(settings.pingInterval()));
  }
}
