/**
 * The engine of this machine: one OCI container per sandbox, with a guest agent as its process 1.
 *
 * <p>Imports {@code server.base} and {@code server.engine}; named by the composition root alone,
 * through {@link dev.sandkeeper.server.engine.local.LocalEngine}. Runs only inside a user namespace
 * that {@code deploy/lib/in-namespace} makes. The other half of what is here is the agent, {@code
 * agent.py} among the resources.
 */
@NullMarked
package dev.sandkeeper.server.engine.local;

import org.jspecify.annotations.NullMarked;
