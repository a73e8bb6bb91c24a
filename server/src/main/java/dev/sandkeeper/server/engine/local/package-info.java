/**
 * The engine of this machine: one OCI container per sandbox, with a guest agent as its process 1.
 *
 * <p>Imports {@code server.base}, {@code server.engine} and {@code server.engine.guest}, which is
 * the agent's side; named by the composition root alone, through {@link
 * dev.sandkeeper.server.engine.local.LocalEngine}. Runs only inside a user namespace that {@code
 * deploy/lib/in-namespace} makes.
 */
@NullMarked
package dev.sandkeeper.server.engine.local;

import org.jspecify.annotations.NullMarked;
