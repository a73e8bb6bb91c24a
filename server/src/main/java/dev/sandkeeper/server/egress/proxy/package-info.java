/**
 * The proxy that sandboxes connect through: HTTP/1.1 over plain sockets and virtual threads. What
 * it has to understand is little, a request's head, the length of its body, and the first message
 * of TLS, and it is to refuse what a server's codec would forgive.
 *
 * <p>Imports {@code egress}, {@code net} and {@code telemetry}; named by the composition root
 * alone, through {@link dev.sandkeeper.server.egress.proxy.EgressProxy}.
 */
@NullMarked
package dev.sandkeeper.server.egress.proxy;

import org.jspecify.annotations.NullMarked;
