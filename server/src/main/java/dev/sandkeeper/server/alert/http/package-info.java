/**
 * Sends alerts by HTTP.
 *
 * <p>Imports {@code alert} and {@code base}; named by the composition root alone, through {@link
 * dev.sandkeeper.server.alert.http.HttpReceivers}.
 */
@NullMarked
package dev.sandkeeper.server.alert.http;

import org.jspecify.annotations.NullMarked;
