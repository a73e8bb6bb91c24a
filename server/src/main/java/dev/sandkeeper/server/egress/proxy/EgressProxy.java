package dev.sandkeeper.server.egress.proxy;

import dev.sandkeeper.server.egress.Allowance;
import dev.sandkeeper.server.egress.ConnectionLog;
import dev.sandkeeper.server.egress.Destinations;
import dev.sandkeeper.server.egress.EgressGateway;
import dev.sandkeeper.server.egress.EgressSource;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.UsedBytes;
import dev.sandkeeper.server.egress.Verdict;
import dev.sandkeeper.server.telemetry.Instruments;
import java.io.IOException;
import java.nio.channels.SocketChannel;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The way out of all sandboxes of this server. */
public final class EgressProxy implements EgressGateway, AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(EgressProxy.class);

  private final Destinations destinations;
  private final ConnectionLog log;
  private final UsedBytes usedBytes;
  private final EgressSettings settings;
  private final Instruments instruments;
  private final LongSupplier nanoTime;
  private final Semaphore permits;
  private final Set<ProxyConnection> open = ConcurrentHashMap.newKeySet();

  /**
   * Makes a proxy without connections.
   *
   * @param nanoTime the monotonic clock, in nanoseconds, usually {@code System::nanoTime}
   */
  public EgressProxy(
      Destinations destinations,
      ConnectionLog log,
      UsedBytes usedBytes,
      EgressSettings settings,
      Instruments instruments,
      LongSupplier nanoTime) {
    this.destinations = destinations;
    this.log = log;
    this.usedBytes = usedBytes;
    this.settings = settings;
    this.instruments = instruments;
    this.nanoTime = nanoTime;
    this.permits = new Semaphore(settings.maxConnections());
  }

  @Override
  public Consumer<SocketChannel> open(EgressSource source, NetworkPolicy policy) {
    // A later server goes on counting where an earlier one stopped.
    Allowance allowance = new Allowance(policy, usedBytes.of(source.sandboxId()));
    return channel -> accept(channel, source, policy, allowance);
  }

  private void accept(
      SocketChannel channel, EgressSource source, NetworkPolicy policy, Allowance allowance) {
    if (!allowance.enter()) {
      refuse(channel, source, Verdict.TOO_MANY_CONNECTIONS);
      return;
    }
    if (!permits.tryAcquire()) {
      allowance.leave();
      refuse(channel, source, Verdict.SERVER_BUSY);
      return;
    }
    ProxyConnection connection =
        new ProxyConnection(
            channel, source, policy, allowance, destinations, log, settings, nanoTime);
    open.add(connection);
    Thread.ofVirtual()
        .name("egress-", 0)
        .start(() -> {
          try {
            instruments.egressConnection(connection.serve().name());
          } catch (RuntimeException e) {
            logger.atError().setCause(e).log("A connection of a sandbox failed");
          } finally {
            open.remove(connection);
            permits.release();
            allowance.leave();
          }
        });
  }

  private void refuse(SocketChannel channel, EgressSource source, Verdict verdict) {
    log.connected(source, ConnectionLog.Target.NONE, verdict);
    instruments.egressConnection(verdict.name());
    try (channel) {
      ProxyConnection.answer(channel, verdict);
    } catch (IOException _) {
      // It is gone already.
    }
  }

  /** Ends connections whose time is over. To be called about every second. */
  public void check() {
    open.forEach(ProxyConnection::check);
  }

  /** Returns how many connections there are. */
  public int active() {
    return open.size();
  }

  /** Ends every connection, and records them. */
  @Override
  public void close() {
    open.forEach(ProxyConnection::closeBoth);
    open.forEach(ProxyConnection::check);
    log.flush();
  }
}
