/**
 * The wire below the contract: the port, TLS, and what connections may do to the server.
 *
 * <p>May import {@code base} and {@code telemetry}. Entry points: {@link
 * dev.sandkeeper.server.transport.ServerCertificate} and {@link
 * dev.sandkeeper.server.transport.Transport}.
 */
@NullMarked
package dev.sandkeeper.server.transport;

import org.jspecify.annotations.NullMarked;
