/**
 * The life cycle of sandboxes: admitted, started, kept paid, ended and settled, also after a crash.
 *
 * <p>May import {@code base}, {@code egress}, {@code engine}, {@code ledger}, {@code audit} and
 * {@code telemetry}. Entry point: {@link dev.sandkeeper.server.sandbox.Sandboxes}.
 */
@NullMarked
package dev.sandkeeper.server.sandbox;

import org.jspecify.annotations.NullMarked;
