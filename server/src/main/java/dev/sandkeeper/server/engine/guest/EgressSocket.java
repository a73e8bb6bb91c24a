package dev.sandkeeper.server.engine.guest;

import java.io.IOException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The engine's end of what leads out of one sandbox. Only the agent's user id can open it, and
 * carries there what the sandbox's programs send.
 */
final class EgressSocket implements AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(EgressSocket.class);

  private final Path socket;
  private final ServerSocketChannel listener;
  private final Consumer<SocketChannel> connections;

  /**
   * Begins to listen.
   *
   * @param folder gets the socket
   * @param owner who may open it
   * @param connections takes every connection, without waiting
   */
  EgressSocket(Path folder, SocketOwner owner, Consumer<SocketChannel> connections)
      throws IOException {
    this.socket = folder.resolve(Guest.EGRESS_SOCKET);
    this.connections = connections;
    this.listener = AgentLink.listen(socket, owner);
    Thread.ofVirtual().name("egress-socket-", 0).start(this::accept);
  }

  private void accept() {
    try {
      while (true) {
        connections.accept(listener.accept());
      }
    } catch (IOException e) {
      if (listener.isOpen()) {
        logger.atWarn().addKeyValue("socket", socket).setCause(e).log("Cannot accept any more");
      }
    }
  }

  /** Takes no more connections; those that there are go on. */
  @Override
  public void close() {
    try {
      listener.close();
    } catch (IOException e) {
      logger.atWarn().addKeyValue("socket", socket).setCause(e).log("Cannot close a socket");
    }
  }
}
