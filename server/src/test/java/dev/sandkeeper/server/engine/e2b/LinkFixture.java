package dev.sandkeeper.server.engine.e2b;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/** A sandbox at the peer with the agent in it, and a link to sockets of the test's. */
final class LinkFixture implements AutoCloseable {
  /** Where what runs in sandboxes is packed. */
  static final E2bSettings.LinkTimes TIMES =
      new E2bSettings.LinkTimes(
          Duration.ofMillis(500),
          Duration.ofSeconds(3),
          Duration.ofMillis(50),
          Duration.ofMillis(200),
          Duration.ofSeconds(2));

  final Peer peer = Peer.start();
  final HttpCalls http = new HttpCalls(Duration.ofSeconds(5));
  final ControlApi control;
  final Session session;
  final Envd envd;
  final E2bAgent agent = new E2bAgent();
  final ServerSocketChannel engine;
  final ServerSocketChannel egress;
  final BlockingQueue<E2bException> gone = new LinkedBlockingQueue<>();
  private final Path folder;
  private final E2bSettings settings;
  private @Nullable E2bLink link;

  LinkFixture(Path folder) throws IOException {
    this.folder = folder;
    E2bSettings.Calls calls =
        new E2bSettings.Calls(
            Duration.ofSeconds(5),
            Duration.ofSeconds(10),
            Duration.ofSeconds(20),
            3,
            Duration.ofMillis(20),
            Duration.ofMillis(100));
    settings = new E2bSettings(peer.uri(), "e2b.local", Optional.of(peer.uri()), calls, TIMES);
    control = new ControlApi(settings, http, peer::key, new Random(1));
    session =
        control.create(
            new NewSandbox(
                "base",
                Duration.ofMinutes(10),
                Map.of("sandbox", "s1"),
                Map.of(),
                false,
                false,
                false));
    envd = new Envd(settings, http, session);
    engine = listen("engine.sock");
    egress = listen("egress.sock");
  }

  private ServerSocketChannel listen(String name) throws IOException {
    Files.deleteIfExists(folder.resolve(name));
    return ServerSocketChannel.open(StandardProtocolFamily.UNIX)
        .bind(UnixDomainSocketAddress.of(folder.resolve(name)));
  }

  /** Starts the agent with an hour of paid time. */
  void startAgent() {
    var _ = agent.start(envd, List.of("3600000", "100", "512", "", "3128", "linux"));
  }

  /** Begins a link; one that there is stays. */
  E2bLink startLink() {
    E2bLink begun =
        new E2bLink(envd, folder, E2bAgent.relay(TIMES), TIMES, new Random(2), gone::add);
    begun.start();
    if (link == null) {
      link = begun;
    }
    return begun;
  }

  @Override
  public void close() throws IOException {
    if (link != null) {
      link.close();
    }
    http.close();
    engine.close();
    egress.close();
    peer.close();
  }
}
