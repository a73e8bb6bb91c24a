package dev.sandkeeper.server.egress;

import java.nio.channels.SocketChannel;
import java.util.function.Consumer;

/** Makes the connections that sandboxes ask for. */
@FunctionalInterface
public interface EgressGateway {
  /**
   * Returns what serves a sandbox's connections: each is read as of a client of an HTTP proxy, and
   * closed in the end. It returns at once.
   *
   * @param source the sandbox
   * @param policy what it may connect to
   */
  Consumer<SocketChannel> open(EgressSource source, NetworkPolicy policy);
}
