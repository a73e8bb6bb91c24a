package dev.sandkeeper.server.transport;

import java.time.Duration;

/**
 * How the server listens, and what it lets connections do.
 *
 * @param host the address
 * @param port the port; 0 for any that is free
 * @param shutdownGrace how long calls may go on when the server stops
 * @param maxConnections how many connections are open at most; further ones are closed at once
 * @param maxStreams how many calls are open on one HTTP/2 connection at most
 * @param idleTimeout how long a connection without a call stays open, and how long a client may
 *     take over a handshake or over the head of a request
 * @param pingInterval after how long a silence an HTTP/2 client is asked whether it is there; after
 *     as long again it is taken for gone
 * @param requestTimeout how long a request may take to arrive, uploads of files apart
 */
public record TransportSettings(
    String host,
    int port,
    Duration shutdownGrace,
    int maxConnections,
    int maxStreams,
    Duration idleTimeout,
    Duration pingInterval,
    Duration requestTimeout) {}
