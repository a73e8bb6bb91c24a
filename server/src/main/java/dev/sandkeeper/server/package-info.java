/**
 * The server: its entry point and the one composition root, {@link
 * dev.sandkeeper.server.ServerAssembly}, which alone names the adapters.
 */
@NullMarked
package dev.sandkeeper.server;

import org.jspecify.annotations.NullMarked;
