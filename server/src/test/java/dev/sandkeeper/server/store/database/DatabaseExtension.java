package dev.sandkeeper.server.store.database;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.sandkeeper.server.store.JooqTransactions;
import java.sql.SQLException;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import javax.sql.DataSource;
import org.jooq.DSLContext;
import org.jooq.SQLDialect;
import org.jooq.impl.DSL;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.postgresql.ds.PGSimpleDataSource;

/**
 * Gives a test class a fresh database, migrated by the shipped SQL:
 *
 * <pre>{@code
 * @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();
 * }</pre>
 *
 * One PostgreSQL serves the whole run; the database is a copy of a template and is dropped after
 * the class.
 */
public final class DatabaseExtension implements BeforeAllCallback, AfterAllCallback {
  private static final int POOL_SIZE = 10;

  private @Nullable SharedPostgres postgres;
  private @Nullable String url;
  private @Nullable PGSimpleDataSource owner;
  private @Nullable PGSimpleDataSource server;
  private @Nullable HikariDataSource pool;

  @Override
  public void beforeAll(ExtensionContext context) throws Exception {
    SharedPostgres shared =
        context
            .getRoot()
            .getStore(ExtensionContext.Namespace.GLOBAL)
            .computeIfAbsent(SharedPostgres.class, _ -> newSharedPostgres(), SharedPostgres.class);
    String database = shared.create();
    HikariConfig config = new HikariConfig();
    PGSimpleDataSource serving = shared.server(database);
    config.setDataSource(serving);
    config.setMaximumPoolSize(POOL_SIZE);
    config.setMinimumIdle(0);
    postgres = shared;
    url = database;
    owner = shared.owner(database);
    server = serving;
    pool = new HikariDataSource(config);
  }

  @Override
  public void afterAll(ExtensionContext context) throws Exception {
    if (pool != null) {
      pool.close();
    }
    if (postgres != null && url != null) {
      postgres.drop(url);
    }
  }

  /** Makes one more database, without anything in it, and returns its owner's way in. */
  DataSource newEmptyDatabase() throws SQLException {
    SharedPostgres shared = Objects.requireNonNull(postgres);
    return shared.owner(shared.createEmpty());
  }

  /** Returns a pool of connections of the serving role. */
  public DataSource dataSource() {
    return Objects.requireNonNull(pool);
  }

  /** Returns connections of the role that owns the schema, not pooled. */
  public DataSource ownerDataSource() {
    return Objects.requireNonNull(owner);
  }

  /** Returns the environment of a server that is to use the database. */
  public Map<String, String> environment() {
    PGSimpleDataSource owning = Objects.requireNonNull(owner);
    PGSimpleDataSource serving = Objects.requireNonNull(server);
    return Map.of(
        "SANDKEEPER_DATABASE_URL", Objects.requireNonNull(url),
        "SANDKEEPER_DATABASE_OWNER_USER", Objects.requireNonNull(owning.getUser()),
        "SANDKEEPER_DATABASE_OWNER_PASSWORD", Objects.requireNonNull(owning.getPassword()),
        "SANDKEEPER_DATABASE_SERVER_USER", Objects.requireNonNull(serving.getUser()),
        "SANDKEEPER_DATABASE_SERVER_PASSWORD", Objects.requireNonNull(serving.getPassword()));
  }

  /** Returns what runs single statements as the serving role. */
  public DSLContext context() {
    return transactions().context();
  }

  /** Returns what runs single statements as the owner of the schema. */
  public DSLContext ownerContext() {
    return DSL.using(ownerDataSource(), SQLDialect.POSTGRES);
  }

  /** Returns transactions of the serving role. */
  public JooqTransactions transactions() {
    return new JooqTransactions(dataSource(), new Random());
  }

  private static SharedPostgres newSharedPostgres() {
    try {
      return new SharedPostgres();
    } catch (Exception e) {
      throw new IllegalStateException("The PostgreSQL of the tests does not start.", e);
    }
  }
}
