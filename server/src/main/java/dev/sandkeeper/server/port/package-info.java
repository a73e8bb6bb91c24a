/**
 * Ports of sandboxes, reached from outside: who may, for how long, how many at once.
 *
 * <p>May import {@code base}, {@code access}, {@code sandbox}, {@code engine}, {@code audit} and
 * {@code telemetry}. Entry point: {@link dev.sandkeeper.server.port.Ports}.
 */
@NullMarked
package dev.sandkeeper.server.port;

import org.jspecify.annotations.NullMarked;
