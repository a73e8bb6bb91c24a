/**
 * Addresses and host names: how they are written, found, and how far they lead; and what of HTTP is
 * about one connection only.
 *
 * <p>Imports no other room. Entry points: {@link dev.sandkeeper.server.net.HostName}, {@link
 * dev.sandkeeper.server.net.HostLookup} and {@link dev.sandkeeper.server.net.Reach}.
 */
@NullMarked
package dev.sandkeeper.server.net;

import org.jspecify.annotations.NullMarked;
