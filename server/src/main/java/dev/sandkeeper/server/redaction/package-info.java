/**
 * Redaction: finds keys in streams of output and puts a mark in their place.
 *
 * <p>May import {@code base}. Entry point: {@link dev.sandkeeper.server.redaction.Redaction}.
 */
@NullMarked
package dev.sandkeeper.server.redaction;

import org.jspecify.annotations.NullMarked;
