/**
 * Who may call: tenants and API keys.
 *
 * <p>May import {@code base} and {@code audit}. Entry point: {@link
 * dev.sandkeeper.server.access.ApiKeys}.
 */
@NullMarked
package dev.sandkeeper.server.access;

import org.jspecify.annotations.NullMarked;
