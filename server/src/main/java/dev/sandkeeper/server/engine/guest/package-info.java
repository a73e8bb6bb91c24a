/**
 * A sandbox as its agent serves it, whichever engine runs it: executions, contexts, files, ports
 * and the way out, over the connections that the agent dials.
 *
 * <p>Imports {@code server.base} and {@code server.engine}; used by the engines whose sandboxes
 * have the agent in them, through {@link dev.sandkeeper.server.engine.guest.GuestSandbox}. The
 * other half of what is here is the agent, among the resources: {@code agent.py}, whose head says
 * which modules it has.
 */
@NullMarked
package dev.sandkeeper.server.engine.guest;

import org.jspecify.annotations.NullMarked;
