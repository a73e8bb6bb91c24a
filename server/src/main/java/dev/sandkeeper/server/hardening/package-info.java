/**
 * What the server's process gives up before it serves, so that whoever took it over could do less.
 *
 * <p>Imports no other room. Entry point: {@link dev.sandkeeper.server.hardening.SystemCallFilter}.
 */
@NullMarked
package dev.sandkeeper.server.hardening;

import org.jspecify.annotations.NullMarked;
