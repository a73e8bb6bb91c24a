/**
 * The engine over E2B: its control API, the daemon in each of its sandboxes, and the link that
 * carries what our agent there and this server say to each other.
 *
 * <p>Imports {@code server.base} and {@code server.engine}; named by the composition root alone.
 */
@NullMarked
package dev.sandkeeper.server.engine.e2b;

import org.jspecify.annotations.NullMarked;
