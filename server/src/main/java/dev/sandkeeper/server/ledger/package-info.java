/**
 * Prices, limits, holds, leases, metering, settlement: money is decided here and nowhere else.
 *
 * <p>Everything that starts compute passes {@link dev.sandkeeper.server.ledger.Ledger#admit}, and
 * everything that ends it passes {@link dev.sandkeeper.server.ledger.Ledger#settle}. The rules that
 * must hold under concurrency live in the database's functions, which the repositories call; this
 * room gives them their words and checks what comes in.
 *
 * <p>May import {@code base} and the value {@link dev.sandkeeper.server.engine.UsageReading}.
 */
@NullMarked
package dev.sandkeeper.server.ledger;

import org.jspecify.annotations.NullMarked;
