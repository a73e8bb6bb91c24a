/**
 * Adapters of the rooms' small repository ports to PostgreSQL, by jOOQ.
 *
 * <p>May import the ports' rooms, {@code base}, the generated schema classes and jOOQ. Named by the
 * composition root only. Entry point: {@link dev.sandkeeper.server.store.JooqTransactions}.
 */
@NullMarked
package dev.sandkeeper.server.store;

import org.jspecify.annotations.NullMarked;
