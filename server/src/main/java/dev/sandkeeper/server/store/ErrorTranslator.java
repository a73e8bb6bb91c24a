package dev.sandkeeper.server.store;

import org.jooq.ExecuteContext;
import org.jooq.ExecuteListener;
import org.jooq.exception.DataAccessException;

/**
 * Translates what every statement may throw, inside a transaction or outside. What is worth another
 * try of the whole transaction is left for that, and what breaks a constraint for the repository
 * that knows it.
 */
final class ErrorTranslator implements ExecuteListener {
  private static final long serialVersionUID = 1L;

  @Override
  public void exception(ExecuteContext context) {
    if (context.exception() instanceof DataAccessException exception
        && !StoreErrors.isWorthRetrying(exception)) {
      context.exception(StoreErrors.translate(exception));
    }
  }
}
