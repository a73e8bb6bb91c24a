/** Clients that behave badly, by the byte, and what stands between a client and the server. */
@NullMarked
package dev.sandkeeper.server.wire;

import org.jspecify.annotations.NullMarked;
