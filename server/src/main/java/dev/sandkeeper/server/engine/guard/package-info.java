/**
 * What keeps an engine that cannot work from holding up those who call it: a circuit breaker and a
 * bound of starts around it, and a check now and then.
 *
 * <p>Imports {@code server.engine}, {@code server.base} and {@code server.telemetry}; named by the
 * composition root alone, through {@link dev.sandkeeper.server.engine.guard.GuardedEngine}.
 */
@NullMarked
package dev.sandkeeper.server.engine.guard;

import org.jspecify.annotations.NullMarked;
