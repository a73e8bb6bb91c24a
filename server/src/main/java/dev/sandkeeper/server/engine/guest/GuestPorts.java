package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.engine.EngineConnection;
import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicLong;

/** Ports of one sandbox: each connection is one to the relay inside, which dials for it. */
final class GuestPorts {
  private static final String TARGET = "port";

  private final AgentLink link;
  private final Patience patience;
  private final Runnable check;
  private final AtomicLong names = new AtomicLong();

  /**
   * Reaches ports by an agent.
   *
   * @param check throws when the sandbox cannot do anything now
   */
  GuestPorts(AgentLink link, Patience patience, Runnable check) {
    this.link = link;
    this.patience = patience;
    this.check = check;
  }

  EngineConnection connect(int port) {
    check.run();
    String name = TARGET + "-" + names.incrementAndGet() + "-" + port;
    Connection connection = link.call(name, TARGET, GuestPorts::failed);
    try {
      awaitConnected(connection, port);
    } catch (IOException e) {
      throw failed(e);
    }
    return new RelayedConnection(connection);
  }

  private void awaitConnected(Connection connection, int port) throws IOException {
    boolean connected = false;
    try {
      Frame frame = patience.within(connection, connection::read);
      if (frame.type() == Frame.FAULT) {
        throw new EngineException(
            EngineException.Kind.PORT_CLOSED, "nothing in the sandbox listens on port " + port);
      }
      if (frame.type() != Frame.STARTED) {
        throw new ProtocolException("port frame type " + frame.type());
      }
      connected = true;
    } finally {
      if (!connected) {
        connection.close();
      }
    }
  }

  private static EngineException failed(Exception cause) {
    return new EngineException(
        EngineException.Kind.FAILED, "the sandbox did not connect to the port", cause);
  }

  private record RelayedConnection(Connection connection) implements EngineConnection {
    @Override
    public int read(ByteBuffer target) throws IOException {
      return connection.readBytes(target);
    }

    @Override
    public void write(ByteBuffer source) throws IOException {
      connection.writeBytes(source);
    }

    @Override
    public void endOutput() throws IOException {
      connection.endOutput();
    }

    @Override
    public void close() {
      connection.close();
    }
  }
}
