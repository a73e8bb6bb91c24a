package dev.sandkeeper.bench;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.CostRepository;
import dev.sandkeeper.server.ledger.LimitEnforcement;
import dev.sandkeeper.server.ledger.LimitPeriod;
import dev.sandkeeper.server.ledger.LimitResource;
import dev.sandkeeper.server.ledger.LimitScope;
import dev.sandkeeper.server.ledger.LimitSpec;
import dev.sandkeeper.server.ledger.Limits;
import dev.sandkeeper.server.ledger.LlmCost;
import dev.sandkeeper.server.ledger.LlmHold;
import dev.sandkeeper.server.ledger.LlmRepository;
import dev.sandkeeper.server.ledger.LlmReservation;
import dev.sandkeeper.server.ledger.LlmSettlement;
import dev.sandkeeper.server.ledger.LlmSpend;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.store.JooqTransactions;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.Credentials;
import dev.sandkeeper.server.store.database.DataFolder;
import dev.sandkeeper.server.store.database.Database;
import dev.sandkeeper.server.store.database.PoolSettings;
import java.io.IOException;
import java.io.Reader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.UUID;

/** The ledger by itself, on an embedded database of its own, without a server around it. */
final class LedgerLab {
  /** A ledger has two batches in flight, and no more. */
  private static final int LEDGER_CONNECTIONS = 3;

  private static final int RAW_CONNECTIONS = 130;
  private static final NanoUsd RESERVED = new NanoUsd(1000);
  private static final NanoUsd SPENT = new NanoUsd(900);
  private static final byte[] HASH = new byte[32];

  private final Deque<AutoCloseable> parts = new ArrayDeque<>();
  private final Properties passwords = new Properties();
  private final String url;
  private final Database database;
  private final JooqTransactions transactions;

  private LedgerLab(Path folder) throws IOException {
    Path data = Files.createTempDirectory(folder, "ledger");
    int port = freePort();
    DataFolder lock = part(DataFolder.open(data));
    database = part(Database.embedded(lock, port, pool(RAW_CONNECTIONS), new SecureRandom()));
    try (Reader file = Files.newBufferedReader(data.resolve("postgresql/passwords"))) {
      passwords.load(file);
    }
    url = "jdbc:postgresql://127.0.0.1:" + port + "/sandkeeper";
    transactions = connectLedger();
    sql("create table raw_insert (id bigint generated always as identity primary key, a bigint)");
    sql("grant insert on raw_insert to sandkeeper_server");
  }

  static LedgerLab open(Path folder) throws IOException {
    return new LedgerLab(folder);
  }

  /** Runs SQL that only the superuser may. */
  void sql(String text) {
    try (Connection connection =
            DriverManager.getConnection(url, "postgres", passwords.getProperty("superuser"));
        Statement statement = connection.createStatement()) {
      statement.execute(text);
    } catch (SQLException e) {
      throw new BenchException(String.valueOf(e.getMessage()));
    }
  }

  /** Returns a connection for somebody who inserts raw rows. */
  Connection connect() {
    try {
      return part(database.dataSource().getConnection());
    } catch (SQLException e) {
      throw new BenchException(String.valueOf(e.getMessage()));
    }
  }

  /** Returns the ledger as a server has it. */
  LlmSpend spend() {
    return new LlmSpend(transactions, repository(), Instant::now, _ -> {}, (_, _) -> {});
  }

  /** Returns the ledger as another server has it, with connections of its own. */
  LlmSpend anotherSpend() {
    JooqTransactions others = connectLedger();
    return new LlmSpend(
        others, LedgerRepositories.llm(others), Instant::now, _ -> {}, (_, _) -> {});
  }

  private JooqTransactions connectLedger() {
    Database other =
        part(
            Database.outside(
                url,
                new Credentials("sandkeeper_owner", passwords.getProperty("owner")),
                new Credentials("sandkeeper_server", passwords.getProperty("server")),
                pool(LEDGER_CONNECTIONS)));
    return new JooqTransactions(other.dataSource(), new SecureRandom());
  }

  private static PoolSettings pool(int size) {
    return new PoolSettings(
        size, Duration.ofSeconds(10), Duration.ofSeconds(30), Duration.ofSeconds(10));
  }

  LlmRepository repository() {
    return LedgerRepositories.llm(transactions);
  }

  CostRepository costs() {
    return LedgerRepositories.costs(transactions);
  }

  JooqTransactions transactions() {
    return transactions;
  }

  /** Makes a tenant with a limit for its day, and one for each of these scopes within it. */
  TenantId tenant(String name, List<LimitScope> scopes) {
    sql("insert into tenant (tenant_id, create_time) values ('" + name + "', now())");
    TenantId tenant = new TenantId(name);
    limit(tenant, LimitScope.TENANT, "");
    scopes.forEach(scope -> limit(tenant, scope, "x"));
    return tenant;
  }

  private void limit(TenantId tenant, LimitScope scope, String scopeId) {
    LimitSpec spec =
        new LimitSpec(
            tenant,
            scope,
            scopeId,
            LimitResource.ALL_SPEND,
            LimitPeriod.DAY,
            LimitSpec.UTC,
            LimitEnforcement.HARD,
            Limits.MAX_AMOUNT,
            List.of());
    Limits limits = new Limits(LedgerRepositories.limits(transactions));
    transactions.run(transaction -> limits.set(transaction, spec, Instant.now()));
  }

  /** What is reserved for a user and a conversation, once. */
  static LlmReservation reservation(TenantId tenant) {
    return new LlmReservation(
        tenant,
        new RequestKey(UUID.randomUUID(), HASH),
        new Attribution(
            Optional.empty(),
            Optional.of("x"),
            Optional.of("x"),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty()),
        new LlmCost.Amount(RESERVED, ""),
        Duration.ofMinutes(10));
  }

  static LlmSettlement settlement(TenantId tenant, LlmHold hold) {
    return new LlmSettlement(
        tenant, Optional.empty(), hold.holdId(), Optional.of(new LlmCost.Amount(SPENT, "")));
  }

  /** Sets money aside and settles it, each durable before it returns. */
  static void pair(LlmSpend spend, TenantId tenant) {
    spend.end(settlement(tenant, spend.reserve(reservation(tenant))));
  }

  private <T extends AutoCloseable> T part(T part) {
    parts.push(part);
    return part;
  }

  /** Ends everything, newest first. */
  void close() {
    while (!parts.isEmpty()) {
      try {
        parts.pop().close();
      } catch (Exception e) {
        System.err.println("bench: " + e.getMessage());
      }
    }
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }
}
