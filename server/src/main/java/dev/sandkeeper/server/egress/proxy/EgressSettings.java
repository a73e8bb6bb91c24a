package dev.sandkeeper.server.egress.proxy;

import java.time.Duration;

/**
 * What the configuration says of the proxy.
 *
 * @param maxConnections the most connections of all sandboxes at once, greater than zero
 * @param connectTimeout how long a host may take to answer, for each of its addresses
 * @param idleTimeout how long nothing may be sent on a connection in either direction
 */
public record EgressSettings(int maxConnections, Duration connectTimeout, Duration idleTimeout) {}
