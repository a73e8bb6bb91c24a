package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.EngineException;

/** Says what a failure of E2B is to those who use the engine. */
final class E2bFailures {
  private E2bFailures() {}

  /**
   * Makes the failure of a call.
   *
   * @param what could not be done, for example {@code the sandbox could not be paused}
   */
  static EngineException of(String what, E2bException cause) {
    EngineException.Kind kind =
        switch (cause.kind()) {
          // Others may use the account, too: that it is full says nothing of E2B.
          case CAPACITY, RATE_LIMITED -> EngineException.Kind.FULL;
          case UNAVAILABLE, BROKEN, UNAUTHENTICATED -> EngineException.Kind.UNAVAILABLE;
          case GONE, NOT_FOUND, CONFLICT, REFUSED -> EngineException.Kind.FAILED;
        };
    return new EngineException(kind, what + ": " + cause.getMessage(), cause, cause.retryAfter());
  }
}
