package dev.sandkeeper.server.alert;

import static dev.sandkeeper.jooq.Tables.TENANT;
import static dev.sandkeeper.jooq.Tables.WEBHOOK;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.server.alert.http.HttpReceivers;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.net.HostLookup;
import dev.sandkeeper.server.store.AlertRepositories;
import dev.sandkeeper.server.store.JooqTransactions;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.StoreAccess;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import dev.sandkeeper.server.telemetry.Instruments;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import org.jooq.JSONB;

/** Webhooks and senders over a real database and real sockets, with a clock that is set. */
final class Alerts implements AutoCloseable {
  static final int MAX_WEBHOOKS = 4;
  static final int MAX_PENDING = 3;
  static final Duration KEEP = Duration.ofDays(7);
  static final HostLookup NO_NAMES =
      host -> {
        throw new java.net.UnknownHostException(host);
      };

  private static final AlertSettings SETTINGS =
      new AlertSettings(MAX_WEBHOOKS, MAX_PENDING, 8, KEEP);
  private static final AtomicInteger COUNTER = new AtomicInteger();

  final SettableClock clock = new SettableClock();
  final JooqTransactions transactions;
  final Outbox outbox;
  final AuditLog auditLog;
  final TenantId tenant;
  private final HttpReceivers receivers = new HttpReceivers(Duration.ofSeconds(1));

  Alerts(DatabaseExtension database) {
    transactions = database.transactions();
    outbox = AlertRepositories.outbox(transactions);
    auditLog = LedgerRepositories.auditLog(transactions);
    // A sender sends to everybody's: what an earlier test left must not be among it.
    transactions.context().deleteFrom(WEBHOOK).execute();
    tenant = new TenantId("tenant-" + COUNTER.incrementAndGet());
    transactions
        .context()
        .insertInto(TENANT, TENANT.TENANT_ID, TENANT.CREATE_TIME)
        .values(tenant.value(), Instant.EPOCH)
        .execute();
  }

  Webhooks webhooks(Addresses addresses) {
    return new Webhooks(
        transactions,
        AlertRepositories.webhooks(transactions),
        addresses,
        auditLog,
        clock,
        new IdGenerator(new Random()),
        new Random(),
        SETTINGS);
  }

  /** Returns the webhooks of a server that may reach this machine by its address. */
  Webhooks webhooks() {
    return webhooks(new Addresses(NO_NAMES, true));
  }

  Principal principal() {
    return new Principal(
        tenant,
        "key",
        Set.of(Scope.ADMIN),
        Optional.empty(),
        new Principal.Origin("192.0.2.1", "test"));
  }

  Webhooks.Created create(String url) {
    return webhooks().create(principal(), tenant, url);
  }

  /** Appends an alert as the database's functions do. */
  void append(String data) {
    transactions.run(transaction ->
        Routines.alertAppend(
            StoreAccess.contextOf(transaction).configuration(),
            tenant.value(),
            "limit_threshold",
            JSONB.valueOf(data),
            clock.now()));
  }

  /** Returns a sender that does everything before it returns. */
  OutboxSender sender() {
    return sender(transactions, Runnable::run);
  }

  OutboxSender sender(Transactions usedTransactions, Executor executor) {
    return sender(usedTransactions, executor, new Addresses(NO_NAMES, true));
  }

  OutboxSender sender(Transactions usedTransactions, Executor executor, Addresses addresses) {
    return new OutboxSender(
        usedTransactions,
        outbox,
        addresses,
        receivers,
        auditLog,
        clock,
        new Random(),
        SETTINGS,
        Instruments.none(),
        executor);
  }

  /** Returns the deliveries, oldest first. */
  List<Delivery> deliveries() {
    return webhooks()
        .deliveries(tenant, Optional.empty(), new Page.Request(1000, Optional.empty()))
        .items()
        .reversed();
  }

  Delivery delivery() {
    List<Delivery> all = deliveries();
    if (all.size() != 1) {
      throw new AssertionError(all);
    }
    return all.getFirst();
  }

  Webhook webhook() {
    return webhooks().list(tenant).getFirst();
  }

  @Override
  public void close() {
    receivers.close();
  }
}
