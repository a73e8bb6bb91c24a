package dev.sandkeeper.server.egress.proxy;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditEvent;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.egress.ConnectionLog;
import dev.sandkeeper.server.egress.Destinations;
import dev.sandkeeper.server.egress.EgressSource;
import dev.sandkeeper.server.egress.HostPattern;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.NetworkRule;
import dev.sandkeeper.server.egress.UsedBytes;
import dev.sandkeeper.server.net.Reach;
import dev.sandkeeper.server.telemetry.Instruments;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * A proxy that looks names up in a map, and may connect to {@link Origin#ADDRESS} beside what is
 * public; its clock stands still, and its audit trail is a list.
 */
public final class ProxyFixture implements AutoCloseable {
  static final EgressSource SOURCE =
      new EgressSource(new TenantId("mine"), new SandboxId("s".repeat(20)), Attribution.NONE);
  private static final Instant TIME = Instant.parse("2026-01-02T03:04:05Z");
  private static final Duration IDLE = Duration.ofSeconds(60);

  /** Where names lead. */
  public final Map<String, List<InetAddress>> names = new ConcurrentHashMap<>();

  final List<String> lookups = new CopyOnWriteArrayList<>();
  final List<AuditEntry> entries = new CopyOnWriteArrayList<>();
  final AtomicLong usedBytes = new AtomicLong();
  final AtomicLong nanos = new AtomicLong();
  final ConnectionLog log =
      new ConnectionLog(new NoTransactions(), new ListedAudit(), new CountedBytes(), () -> TIME);
  final EgressProxy proxy;

  /** Makes a proxy that takes as many connections. */
  public ProxyFixture(int maxConnections) {
    proxy =
        new EgressProxy(
            new Destinations(
                this::lookup,
                address -> address.equals(Origin.ADDRESS) || Reach.of(address) == Reach.PUBLIC),
            log,
            new CountedBytes(),
            new EgressSettings(maxConnections, Duration.ofSeconds(5), IDLE),
            Instruments.none(),
            nanos::get);
  }

  /** Returns what serves connections under a policy. */
  public Consumer<SocketChannel> open(NetworkPolicy policy) {
    return proxy.open(SOURCE, policy);
  }

  /** Returns a policy that allows one port of hosts. */
  public static NetworkPolicy policy(long maxBytes, int maxConnections, int port, String... hosts) {
    return new NetworkPolicy(
        List.of(hosts).stream()
            .map(host -> new NetworkRule(HostPattern.of(host), List.of(port)))
            .toList(),
        maxBytes,
        maxConnections);
  }

  /** Returns what the audit trail says of connections, each as outcome and detail. */
  public List<String> audited() {
    log.flush();
    return entries.stream()
        .map(entry -> entry.outcome() + " " + entry.detail().orElseThrow())
        .toList();
  }

  private List<InetAddress> lookup(String name) throws UnknownHostException {
    lookups.add(name);
    List<InetAddress> found = names.get(name.substring(0, name.length() - 1));
    if (found == null) {
      throw new UnknownHostException(name);
    }
    return found;
  }

  @Override
  public void close() {
    proxy.close();
  }

  private static final class NoTransactions implements Transactions {
    @Override
    public <T> T call(Function<Transaction, T> work) {
      return work.apply(new Transaction() {});
    }

    @Override
    public <T> T single(Function<Transaction, T> statement) {
      return call(statement);
    }
  }

  private final class CountedBytes implements UsedBytes {
    @Override
    public long of(SandboxId sandboxId) {
      return usedBytes.get();
    }

    @Override
    public void add(Transaction transaction, SandboxId sandboxId, long bytes) {
      usedBytes.addAndGet(bytes);
    }
  }

  private final class ListedAudit implements AuditLog {
    @Override
    public long append(Transaction transaction, AuditEntry entry) {
      entries.add(entry);
      return entries.size();
    }

    @Override
    public Page<AuditEvent> list(
        TenantId tenantId, Optional<SandboxId> sandboxId, Page.Request page) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Verification verify(TenantId tenantId) {
      throw new UnsupportedOperationException();
    }
  }
}
