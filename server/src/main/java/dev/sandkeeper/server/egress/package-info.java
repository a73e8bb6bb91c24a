/**
 * The way out of sandboxes: what a policy allows, what was used of it, and the record of every
 * connection.
 *
 * <p>May import {@code base}, {@code net} and {@code audit}. Entry points: {@link
 * dev.sandkeeper.server.egress.NetworkPolicy} and {@link
 * dev.sandkeeper.server.egress.EgressGateway}, whose one implementation is the room {@code
 * egress.proxy}.
 */
@NullMarked
package dev.sandkeeper.server.egress;

import org.jspecify.annotations.NullMarked;
