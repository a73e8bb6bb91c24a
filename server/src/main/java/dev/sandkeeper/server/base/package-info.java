/**
 * The words every room shares: identifiers, errors, time and transactions.
 *
 * <p>Imports nothing of the other rooms, and no library beyond the JDK and JSpecify.
 */
@NullMarked
package dev.sandkeeper.server.base;

import org.jspecify.annotations.NullMarked;
