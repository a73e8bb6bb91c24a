package dev.sandkeeper.server.store;

import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import java.sql.Connection;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import javax.sql.DataSource;
import org.jooq.DSLContext;
import org.jooq.SQLDialect;
import org.jooq.conf.Settings;
import org.jooq.exception.DataAccessException;
import org.jooq.impl.DSL;
import org.jooq.impl.DefaultConnectionProvider;

/** Transactions of a PostgreSQL by jOOQ, at the database's default isolation. */
public final class JooqTransactions implements Transactions {
  private static final int MAX_ATTEMPTS = 5;
  private static final long LONGEST_FIRST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

  private final DSLContext context;
  private final RandomGenerator random;

  /**
   * Makes transactions on the given connections.
   *
   * @param dataSource the pool
   * @param random spreads the retries of callers that met each other; thread-safe
   */
  public JooqTransactions(DataSource dataSource, RandomGenerator random) {
    this.context =
        DSL.using(
            DSL.using(dataSource, SQLDialect.POSTGRES)
                .configuration()
                .derive(new ErrorTranslator())
                // Without a listener for each statement, which would only ask whether it is to log.
                .derive(new Settings().withExecuteLogging(false)));
    this.random = random;
  }

  /** Returns what runs single statements outside a transaction, each committed by itself. */
  public DSLContext context() {
    return context;
  }

  @Override
  public <T> T call(Function<Transaction, T> work) {
    return retrying(() -> context.connectionResult(connection -> once(connection, work)));
  }

  /** Runs a transaction once. jOOQ's own would ask for the isolation first, each time. */
  private <T> T once(Connection connection, Function<Transaction, T> work) {
    DefaultConnectionProvider provider = new DefaultConnectionProvider(connection);
    // The pool takes this back when it gets the connection back.
    provider.setAutoCommit(false);
    try {
      T result =
          work.apply(new JooqTransaction(DSL.using(context.configuration().derive(provider))));
      provider.commit();
      return result;
    } catch (RuntimeException | Error e) {
      rollBack(provider, e);
      throw e;
    }
  }

  private static void rollBack(DefaultConnectionProvider provider, Throwable cause) {
    try {
      provider.rollback();
    } catch (DataAccessException e) {
      cause.addSuppressed(e);
    }
  }

  @Override
  public <T> T single(Function<Transaction, T> statement) {
    return retrying(() -> statement.apply(new JooqTransaction(context)));
  }

  private <T> T retrying(Supplier<T> work) {
    for (int attempt = 1; ; attempt++) {
      try {
        return work.get();
      } catch (DataAccessException e) {
        if (!StoreErrors.isWorthRetrying(e) || attempt == MAX_ATTEMPTS) {
          throw StoreErrors.translate(e);
        }
        pause(attempt);
      }
    }
  }

  private void pause(int attempt) {
    LockSupport.parkNanos(random.nextLong(LONGEST_FIRST_PAUSE_NANOS << (attempt - 1)) + 1);
  }
}
