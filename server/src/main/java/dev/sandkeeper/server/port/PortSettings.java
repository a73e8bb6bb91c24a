package dev.sandkeeper.server.port;

import java.time.Duration;
import java.util.Optional;

/**
 * Bounds of ports.
 *
 * @param url how ports are named by hosts; empty when they are reached by path only
 * @param maxConnections how many connections to ports of one sandbox there may be at once
 * @param idleTimeout after how long without a byte either way a connection is closed
 */
public record PortSettings(Optional<PortUrl> url, int maxConnections, Duration idleTimeout) {}
