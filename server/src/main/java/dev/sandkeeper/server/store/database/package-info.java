/**
 * The one PostgreSQL: the embedded one, started and watched, or an outside one by its JDBC URL.
 *
 * <p>May import {@code base} and the database libraries. Entry points: {@link
 * dev.sandkeeper.server.store.database.DataFolder} and {@link
 * dev.sandkeeper.server.store.database.Database}.
 */
@NullMarked
package dev.sandkeeper.server.store.database;

import org.jspecify.annotations.NullMarked;
