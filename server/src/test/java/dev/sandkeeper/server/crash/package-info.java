/**
 * The whole server as its own process, killed, starved and disturbed. May import anything that the
 * tests have; entry point: {@link dev.sandkeeper.server.crash.ServerProcess}.
 */
@NullMarked
package dev.sandkeeper.server.crash;

import org.jspecify.annotations.NullMarked;
