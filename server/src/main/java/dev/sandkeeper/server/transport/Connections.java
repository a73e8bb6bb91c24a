package dev.sandkeeper.server.transport;

import dev.sandkeeper.server.telemetry.Instruments;
import io.netty.channel.Channel;
import io.netty.channel.ChannelOption;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Counts the connections and holds their number within its bound. */
final class Connections {
  private static final Logger logger = LoggerFactory.getLogger(Connections.class);

  private final int max;
  private final Instruments instruments;
  private final AtomicInteger open = new AtomicInteger();
  private final AtomicBoolean full = new AtomicBoolean();

  Connections(int max, Instruments instruments) {
    this.max = max;
    this.instruments = instruments;
    instruments.observeConnections(open::get);
  }

  /** Takes a connection up; closes it when there are too many, and says so. */
  boolean admit(Channel connection) {
    int now = open.incrementAndGet();
    var _ = connection.closeFuture().addListener(_ -> leave());
    if (now <= max) {
      return true;
    }
    // A reset, so that the port is free again at once on both sides.
    connection.config().setOption(ChannelOption.SO_LINGER, 0);
    var _ = connection.close();
    instruments.connectionRefused();
    if (full.compareAndSet(false, true)) {
      logger
          .atWarn()
          .addKeyValue("maxConnections", max)
          .log("New connections are refused: as many are open as server.max-connections allows");
    }
    return false;
  }

  private void leave() {
    // Not at the first that leaves, lest the log has a line for each that comes.
    if (open.decrementAndGet() < max - max / 10) {
      full.set(false);
    }
  }
}
