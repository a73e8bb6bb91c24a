/**
 * Secrets: what a tenant keeps by name, encrypted, to be given to what it runs.
 *
 * <p>May import {@code base} and {@code audit}. Entry point: {@link
 * dev.sandkeeper.server.secret.Secrets}.
 */
@NullMarked
package dev.sandkeeper.server.secret;

import org.jspecify.annotations.NullMarked;
